"""Kernel place: which layer of a graph a runtime's kernel belongs to, read off its numbered names.

OpenVINO multiplies a constant factor into the weights of the convolution before it and calls the kernel
after the product; what is left of names is of the layers that it fused behind.
"""

__all__ = ["SpentTime", "mapped_share", "placed", "with_lost_kernels"]

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from quant.graph.layer import Layer
from quant.graph.prepared_graph import Graph, weight_of
from quant.latency.numbered_nodes import NodeNumber, marked
from quant.runtimes.kernel import KernelTime

FORMS = frozenset(
    {
        *("QuantizeLinear", "DequantizeLinear", "ReorderInput", "ReorderOutput"),
        *("FakeQuantize", "Reorder", "Convert"),
    }
)
"""Kernels that only change the form of numbers, of ONNX Runtime and of OpenVINO."""


def mapped_share(times: Iterable[KernelTime]) -> float:
    """Return the share of the time that belongs to a layer or to a conversion, 0 to 1."""
    spent = [(placed(kernel)[0], kernel.milliseconds) for kernel in times]
    total = sum(ms for _, ms in spent)
    return sum(ms for kind, ms in spent if kind != "unknown") / total if total else 1.0


def placed(kernel: KernelTime) -> tuple[str, NodeNumber | None]:
    """Return "layer", "form" or "unknown", and whose: a form is that of the numbers a layer makes."""
    own = marked(kernel.names)
    mark = own or marked(kernel.tensors)
    wrote = own is not None and own.kind == "layer"
    if kernel.op in FORMS or (kernel.op == "Transpose" and not wrote):
        return "form", mark
    if mark is None:
        return "unknown", None
    return ("layer" if mark.kind == "layer" else "form"), mark


@dataclass(frozen=True)
class SpentTime:
    """Where the time of one model went, in milliseconds of one inference.

    Attributes:
        layers: By index of the layer.
        forms: By whose numbers change their form: the mark of a tensor or an input; None where it
            is not known.
    """

    layers: Mapping[int, float]
    forms: Mapping[NodeNumber | None, float]

    @classmethod
    def of(cls, times: Iterable[KernelTime]) -> "SpentTime":
        """Return it for the kernels of a model."""
        own: dict[int, float] = defaultdict(float)
        forms: dict[NodeNumber | None, float] = defaultdict(float)
        for kernel in times:
            kind, mark = placed(kernel)
            if kind == "layer" and mark is not None:
                own[mark.index] += kernel.milliseconds
            elif kind == "form" and mark is not None and mark.kind == "layer":
                forms[NodeNumber("tensor", mark.index)] += kernel.milliseconds
            elif kind == "form":
                forms[mark] += kernel.milliseconds
        return cls(own, forms)


MATRIX = frozenset(
    {
        *("Convolution", "GroupConvolution", "ConvolutionBackpropData"),
        *("GroupConvolutionBackpropData", "Deconvolution", "FullyConnected", "MatMul"),
        *("FullyConnectedQuantized", "FullyConnectedCompressed"),
    }
)
"""Operators of OpenVINO that multiply with a weight."""


def with_lost_kernels(times: Sequence[KernelTime], graph: Graph) -> list[KernelTime]:
    """Return the kernels, a matrix operator under the name of the layer above it that has none.

    Args:
        times: Of one model, names numbered after the graph.
        graph: Says which layers have weights.
    """
    every = graph.layers
    made = {str(v.name): i for i, x in enumerate(every) for v in (*x.node.outputs, *x.outputs)}
    matrix = {i for i, x in enumerate(every) if weight_of(x.node) is not None}
    marks = [placed(kernel) for kernel in times]
    lost = matrix - {mark.index for kind, mark in marks if kind == "layer" and mark is not None}
    found = []
    for kernel, (kind, mark) in zip(times, marks, strict=True):
        wrong = kind == "layer" and mark is not None and mark.index not in matrix
        above = _above(every, made, mark.index, lost) if wrong and mark is not None else None
        if above is not None and kernel.op in MATRIX:
            lost.discard(above)
            kernel = replace(kernel, names=(f"layer{above}i", *kernel.names))
        found.append(kernel)
    return found


def _above(
    every: Sequence[Layer], made: Mapping[str, int], index: int, lost: AbstractSet[int]
) -> int | None:
    """Return the nearest layer among `lost` that a layer's numbers come from, or None."""
    seen, todo = {index}, [index]
    while todo:
        layer = every[todo.pop(0)]
        inputs = [made[str(v.name)] for v in layer.node.inputs if v and str(v.name) in made]
        for one in inputs:
            if one in lost:
                return one
            if one not in seen and weight_of(every[one].node) is None:
                seen.add(one)
                todo.append(one)
    return None

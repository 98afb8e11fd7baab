"""The layer that each kernel of a runtime belongs to, read from its numbered names.

OpenVINO multiplies a constant factor into the weights of the convolution before it and names the kernel
after the product, so the name of the convolution is lost and only later, fused layers are named. Such
kernels are given back to the convolution.
"""

__all__ = ["SpentTime", "mapped_share", "place_of", "with_lost_kernels"]

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from quant.graph.layer import Layer
from quant.graph.prepared_graph import Graph, weight_of
from quant.latency.numbered_nodes import NodeNumber, first_mark
from quant.runtimes.kernel import KernelTime

FORM_KERNELS = frozenset(
    {
        *("QuantizeLinear", "DequantizeLinear", "ReorderInput", "ReorderOutput"),
        *("FakeQuantize", "Reorder", "Convert"),
    }
)
"""Kernels of ONNX Runtime and of OpenVINO that only change the form of numbers."""

MATRIX = frozenset(
    {
        *("Convolution", "GroupConvolution", "ConvolutionBackpropData"),
        *("GroupConvolutionBackpropData", "Deconvolution", "FullyConnected", "MatMul"),
        *("FullyConnectedQuantized", "FullyConnectedCompressed"),
    }
)
"""Operators of OpenVINO that multiply with a weight."""


def mapped_share(times: Iterable[KernelTime]) -> float:
    """Return the share of the time that belongs to a layer or to a conversion, 0 to 1."""
    spent = [(place_of(kernel)[0], kernel.milliseconds) for kernel in times]
    total = sum(ms for _, ms in spent)
    return sum(ms for kind, ms in spent if kind != "unknown") / total if total else 1.0


def place_of(kernel: KernelTime) -> tuple[str, NodeNumber | None]:
    """Return "layer", "form" or "unknown", and the layer; a form is of the numbers a layer makes."""
    own = first_mark(kernel.names)
    mark = own or first_mark(kernel.tensors)
    wrote = own is not None and own.kind == "layer"
    if kernel.op in FORM_KERNELS or (kernel.op == "Transpose" and not wrote):
        return "form", mark
    if mark is None:
        return "unknown", None
    return ("layer" if mark.kind == "layer" else "form"), mark


@dataclass(frozen=True)
class SpentTime:
    """The time of one inference divided among layers and changes of form, in milliseconds.

    Attributes:
        layers: Time by index of the layer.
        forms: Time by the tensor or input whose form changes; None where that is not known.
    """

    layers: Mapping[int, float]
    forms: Mapping[NodeNumber | None, float]

    @classmethod
    def of(cls, times: Iterable[KernelTime]) -> "SpentTime":
        """Return the divided time of the kernels of one model."""
        own: dict[int, float] = defaultdict(float)
        forms: dict[NodeNumber | None, float] = defaultdict(float)
        for kernel in times:
            kind, mark = place_of(kernel)
            if kind == "layer" and mark is not None:
                own[mark.index] += kernel.milliseconds
            elif kind == "form" and mark is not None and mark.kind == "layer":
                forms[NodeNumber("tensor", mark.index)] += kernel.milliseconds
            elif kind == "form":
                forms[mark] += kernel.milliseconds
        return cls(own, forms)


def with_lost_kernels(times: Sequence[KernelTime], graph: Graph) -> list[KernelTime]:
    """Return the kernels with every nameless matrix kernel named after the layer it computes.

    Args:
        times: Kernels of one model, with names numbered after the graph.
        graph: The graph whose layers are numbered.
    """
    all_layers = graph.layers
    maker_of = {
        str(v.name): i for i, x in enumerate(all_layers) for v in (*x.node.outputs, *x.outputs)
    }
    matrix = {i for i, x in enumerate(all_layers) if weight_of(x.node) is not None}
    marks = [place_of(kernel) for kernel in times]
    lost = matrix - {mark.index for kind, mark in marks if kind == "layer" and mark is not None}
    kernels = []
    for kernel, (kind, mark) in zip(times, marks, strict=True):
        wrong = kind == "layer" and mark is not None and mark.index not in matrix
        above = (
            _above(all_layers, maker_of, mark.index, lost) if wrong and mark is not None else None
        )
        if above is not None and kernel.op in MATRIX:
            lost.discard(above)
            kernel = replace(kernel, names=(f"layer{above}i", *kernel.names))
        kernels.append(kernel)
    return kernels


def _above(
    all_layers: Sequence[Layer], maker_of: Mapping[str, int], index: int, lost: AbstractSet[int]
) -> int | None:
    """Return the nearest layer of `lost` from which a layer's input comes, or None."""
    visited, todo = {index}, [index]
    while todo:
        layer = all_layers[todo.pop(0)]
        inputs = [maker_of[str(v.name)] for v in layer.node.inputs if v and str(v.name) in maker_of]
        for maker in inputs:
            if maker in lost:
                return maker
            if maker not in visited and weight_of(all_layers[maker].node) is None:
                visited.add(maker)
                todo.append(maker)
    return None

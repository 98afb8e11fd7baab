"""Lost: kernels whose own layer's name the runtime dropped, given back to it.

OpenVINO multiplies a constant factor into the weights of the convolution before it and calls the kernel
after the product; what is left of names is of the layers that it fused behind.
"""

__all__ = ["restored"]

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from quant.graph.layers import Layer, layers
from quant.graph.prepared_graph import Graph, weight_of
from quant.latency.kernel import KernelTime
from quant.latency.kernel_layers import placed

MATRIX = frozenset(
    {
        *("Convolution", "GroupConvolution", "ConvolutionBackpropData"),
        *("GroupConvolutionBackpropData", "Deconvolution", "FullyConnected", "MatMul"),
        *("FullyConnectedQuantized", "FullyConnectedCompressed"),
    }
)
"""Operators of OpenVINO that multiply with a weight."""


def restored(times: Sequence[KernelTime], graph: Graph) -> list[KernelTime]:
    """Return the kernels, a matrix operator under the name of the layer above it that has none.

    Args:
        times: Of one model, names numbered after the graph.
        graph: Says which layers have weights.
    """
    every = layers(graph)
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

"""The size of a network's weights, in float and as a plan stores them on the chip."""

__all__ = ["size_text", "weight_megabytes"]

import math

from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.tensor_plans import Plan


def weight_megabytes(graph: Graph, plan: Plan) -> tuple[float, float]:
    """Return the size of the weights in float32 and at the plan's precisions, in 10**6 bytes.

    A weight that two layers share counts once. Scales and biases are neglected.

    Args:
        graph: The one that the plan is about.
        plan: Says the grid of each weight, or the float of its layer.
    """
    before, after = 0, 0
    seen: set[str] = set()
    for node in graph.nodes:
        weight = weight_of(node)
        if weight is None or weight.const_value is None or str(weight.name) in seen:
            continue
        seen.add(str(weight.name))
        count = math.prod(weight.const_value.shape.numpy())
        grid = plan.grid(str(weight.name), str(node.name))
        layer = plan.layers.get(str(node.name))
        bits = 32 if layer is None or layer.precision.quantized else layer.precision.weight_bits
        if grid is not None and grid.format is not None:
            bits = grid.format.bits
        before, after = before + 32 * count, after + bits * count
    return before / 8e6, after / 8e6


def size_text(megabytes: float) -> str:
    """Return a size with three digits and its unit.

    >>> size_text(0.0123), size_text(4.65)
    ('12.3 kB', '4.65 MB')
    """
    return f"{megabytes:.3g} MB" if megabytes >= 0.1 else f"{1e3 * megabytes:.3g} kB"

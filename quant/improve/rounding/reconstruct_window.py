"""Crops: windows of a block's entry, so that a step on large maps costs what it costs on small ones.

Both networks run on the same window as if it were a whole map, with the same padding around it, so
that their outputs can be compared; this holds where every node computes each place of its output
from a neighbourhood in its input. Other blocks get whole maps.
"""

__all__ = ["Window", "window_of"]

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch

from quant.graph.prepared_graph import Graph, weight_of
from quant.improve.rounding.blocks import Block

LOCAL = frozenset(
    {
        *("Add", "AveragePool", "Clip", "Concat", "Conv", "HardSigmoid", "HardSwish", "Identity"),
        *("LeakyRelu", "MaxPool", "Mul", "Relu", "Sigmoid", "Sub", "Tanh"),
    }
)
"""Operators whose output at a place depends on a neighbourhood of it."""

PLACES = 20
"""Rows and columns that a window has at the exit: with 3 x 3 taps nine of ten see no border."""

ALIGNED = 4
"""Windows begin at multiples of it, so that strides fall on the places they fall on in the map."""


@dataclass(frozen=True, slots=True)
class Window:
    """Rows and columns of a window; a map that has fewer keeps all of its own."""

    rows: int
    columns: int

    def cut(self, maps: tuple[torch.Tensor, ...], rng: np.random.Generator) -> list[torch.Tensor]:
        """Return the same random window of maps `[N, C, H, W]` of one shape."""
        height, width = maps[0].shape[2:]
        top = ALIGNED * int(rng.integers(max(height - self.rows, 0) // ALIGNED + 1))
        left = ALIGNED * int(rng.integers(max(width - self.columns, 0) // ALIGNED + 1))
        return [x[:, :, top : top + self.rows, left : left + self.columns] for x in maps]


def window_of(block: Block, graph: Graph, entry: torch.Size, out: torch.Size) -> Window | None:
    """Return the window for a block, or None where it needs whole maps or they are small.

    Args:
        block: The nodes.
        graph: With its constants.
        entry: Shape of the entry.
        out: Shape of the exit.
    """
    if len(entry) != 4 or len(out) != 4 or not all(_local(n, graph) for n in block.nodes):
        return None
    sizes = [PLACES * max(1, round(entry[i] / max(out[i], 1))) for i in (2, 3)]
    if all(sizes[i] >= entry[i + 2] for i in range(2)):
        return None
    return Window(*sizes)


def _local(node: ir.Node, graph: Graph) -> bool:
    """Tell whether a node may run on a window: no constant of it, beside weights, is a map."""
    if node.op_type not in LOCAL or node.attributes.get_int("axis", 1) != 1:
        return False
    if weight_of(node) is not None:
        return True
    constants = [
        graph.array(str(v.name)) for v in node.inputs if v is not None and v.is_initializer()
    ]
    return all(np.prod(c.shape[-2:]) == 1 for c in constants)

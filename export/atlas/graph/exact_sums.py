"""Cut a layer into pieces whose sums float32 holds exactly: every |partial sum| is at most 2**24.

Float32 holds every integer up to 2**24, so a float32 kernel sums integers exactly, in any order, as
long as no partial sum is greater. A wide layer is cut along its input channels, and each piece is
cast to int32 before the pieces are added: the cost of the layer stays the same.
"""

__all__ = ["MAX_EXACT", "Piece", "pieces"]

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.export.atlas.graph.integer_layer import IntegerLayer

MAX_EXACT = 2**24
"""Float32 holds every integer up to this one."""

LARGEST_PRODUCT = 255 * 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a layer.

    Attributes:
        channels: The first input channel that it reads, and the one behind the last; None for all.
        weight: float32, the integers of the part in the layer's layout.
    """

    channels: tuple[int, int] | None
    weight: NDArray[np.float32]


def pieces(layer: IntegerLayer) -> list[Piece]:
    """Return the pieces of a layer with a weight; one piece if its sums are small."""
    weight = layer.weight
    if weight is None:
        return []
    if layer.sum_bound <= MAX_EXACT:
        return [Piece(channels=None, weight=weight.astype(np.float32))]
    axis = 1 if layer.node.op_type == "Conv" else 0
    # [input channels, output channels]: the largest sum that one input channel can add
    cost = _absolute_sums(layer, weight, axis) * layer.largest_input
    if layer.node.attributes.get_int("group", 1) == 1 and cost.max() <= MAX_EXACT:
        return _by_channels(weight, cost, axis)
    return _by_elements(layer, weight)


def _absolute_sums(layer: IntegerLayer, weight: NDArray[np.int8], axis: int) -> NDArray[np.int64]:
    moved = np.moveaxis(np.abs(weight.astype(np.int64)), axis, 0)
    rows: NDArray[np.int64] = moved.reshape(*moved.shape[:2], -1).sum(2)
    return rows


def _by_channels(weight: NDArray[np.int8], cost: NDArray[np.int64], axis: int) -> list[Piece]:
    ranges, start = [], 0
    total = np.zeros_like(cost[0])
    for channel, row in enumerate(cost):
        if (total + row).max() > MAX_EXACT:
            ranges.append((start, channel))
            start, total = channel, np.zeros_like(row)
        total = total + row
    ranges.append((start, len(cost)))
    return [
        Piece(channels=cut, weight=_cut(weight, cut, axis).astype(np.float32)) for cut in ranges
    ]


def _cut(weight: NDArray[Any], cut: tuple[int, int], axis: int) -> NDArray[Any]:
    index = [slice(None)] * weight.ndim
    index[axis] = slice(*cut)
    return weight[tuple(index)]


def _by_elements(layer: IntegerLayer, weight: NDArray[np.int8]) -> list[Piece]:
    """Cut the elements of each output channel; a piece is zero elsewhere. For groups and huge kernels."""
    axis = 0 if layer.node.op_type == "Conv" else 1
    moved = np.moveaxis(weight, axis, 0)
    flat = moved.reshape(len(moved), -1)
    reached = np.cumsum(np.abs(flat.astype(np.int64)) * layer.largest_input, axis=1)
    piece = reached // (MAX_EXACT - LARGEST_PRODUCT)  # an element may begin in the piece before
    result = []
    for number in range(int(piece.max()) + 1):
        part = np.where(piece == number, flat, 0).astype(np.float32)
        weights = np.moveaxis(part.reshape(moved.shape), 0, axis)
        result.append(Piece(channels=None, weight=np.ascontiguousarray(weights)))
    return result

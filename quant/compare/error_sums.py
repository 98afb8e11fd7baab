"""Sums of squares of tensors by image and by channel, taken inside an ONNX graph.

A layer's tensor is `[images, channels, ...]` (rank 3: `[images, tokens, channels]`); what leaves
ONNX Runtime is `[images, channels]`, whatever its size.
"""

__all__ = ["ErrorSums", "append_sums"]

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.compare.batch import Batch
from quant.graph.edit import add_constant, append_node
from quant.metrics.squared_error import SquaredError

F64 = NDArray[np.float64]

AXES_ARE_INPUTS = 18
"""ReduceSumSquare takes its axes as an input from this opset on."""


@dataclass
class ErrorSums:
    """Sums of squares of one signal and its noise, by image and by channel.

    Attributes:
        signal: float64 `[C]`, over all images.
        noise: float64 `[C]`.
        images: By batch float64 `[2, rows]`: signal and noise of each image.
    """

    signal: F64 = field(default_factory=lambda: np.zeros(0))
    noise: F64 = field(default_factory=lambda: np.zeros(0))
    images: list[F64] = field(default_factory=list)

    def add(self, signal: NDArray[Any], noise: NDArray[Any], batch: Batch) -> None:
        """Add a batch's `[rows, C]` without its padding; of an element not finite, add neither."""
        rows = [batch.samples(np.atleast_2d(np.asarray(x, np.float64))) for x in (signal, noise)]
        good = np.isfinite(rows[0]) & np.isfinite(rows[1])
        a, b = (np.where(good, x, 0.0) for x in rows)
        pair = [(self.signal, a.sum(axis=0)), (self.noise, b.sum(axis=0))]
        if self.signal.size and self.signal.size != a.shape[1]:  # channels that depend on the image
            pair = [(x.sum(keepdims=True), y.sum(keepdims=True)) for x, y in pair]
        self.signal, self.noise = (x + y if x.size else y for x, y in pair)
        has_images = np.ndim(signal) > 0 and len(signal) == batch.rows
        nothing = np.full((2, batch.count), np.nan)
        self.images.append(np.stack([a.sum(axis=1), b.sum(axis=1)]) if has_images else nothing)

    @property
    def total(self) -> SquaredError:
        """The sums over all images and channels."""
        return SquaredError(float(self.signal.sum()), float(self.noise.sum()))

    @property
    def sqnr_db(self) -> float:
        """SQNR in dB of all images together; higher is better."""
        return self.total.sqnr_db

    @property
    def by_image(self) -> F64:
        """float64 `[images]`, SQNR in dB; nan where the tensor has no axis of images."""
        sums = np.concatenate(self.images, axis=1) if self.images else np.zeros((2, 0))
        return np.array([SquaredError(s, n).sqnr_db for s, n in sums.T.tolist()], np.float64)


def append_sums(model: ir.Model, value: ir.Value, rank: int | None, name: str) -> ir.Value:
    """Append nodes that take a tensor's sums of squares, and return their result.

    Args:
        model: Edited in place.
        value: The tensor.
        rank: Its rank; None or below 2 gives one sum over everything, `[]`.
        name: Name of the result, `[images, channels]`.
    """
    if rank == 2:
        sums = append_node(model.graph, "Mul", [value, value])
    elif rank is None or rank < 2:
        sums = append_node(model.graph, "ReduceSumSquare", [value], {"keepdims": 0})
    else:
        axes = [1] if rank == 3 else list(range(2, rank))
        sums = _reduced(model, value, axes)
    sums.name, sums.dtype = name, ir.DataType.FLOAT
    return sums


def _reduced(model: ir.Model, value: ir.Value, axes: Sequence[int]) -> ir.Value:
    """Append a ReduceSumSquare over some axes, as the model's opset spells it."""
    if model.opset_imports.get("", 0) < AXES_ARE_INPUTS:
        return append_node(
            model.graph, "ReduceSumSquare", [value], {"axes": list(axes), "keepdims": 0}
        )
    name = "quant.axes." + ".".join(map(str, axes))
    axes_input = model.graph.initializers.get(name)
    if axes_input is None:
        axes_input = add_constant(model.graph, name, np.array(axes, np.int64), typed=False)
    return append_node(model.graph, "ReduceSumSquare", [value, axes_input], {"keepdims": 0})

"""Isolated error: only one layer quantized, the error at the network's outputs."""

__all__ = ["IsolatedError", "isolated", "isolated_errors"]

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.compare.batch import Batch
from quant.compare.error_sums import ErrorSums, RowSums
from quant.graph.layers import Layer
from quant.graph.prepared_graph import Graph
from quant.simulate.one_at_a_time import OneAtATime, QuantizedSet

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolatedError:
    """What one layer's quantization does at the network's outputs.

    Attributes:
        sqnr_db: At the worst output, in dB.
        by_image: float64 `[images]`, the same for each image; nan where no output has an axis of
            images.
    """

    sqnr_db: float
    by_image: NDArray[np.float64]


def isolated(
    graph: Graph,
    quantized: ir.Model,
    measured: Sequence[Layer],
    batches: Iterable[Batch],
    threads: int = 0,
) -> dict[str, float]:
    """Return `isolated_errors` over all images together."""
    found = isolated_errors(graph, quantized, measured, batches, threads)
    return {name: error.sqnr_db for name, error in found.items()}


def isolated_errors(
    graph: Graph,
    quantized: ir.Model,
    measured: Sequence[Layer],
    batches: Iterable[Batch],
    threads: int = 0,
) -> dict[str, IsolatedError]:
    """Return for each layer the SQNR in dB at the worst network output when only it is quantized.

    Quantized are the layer's inputs that have a grid, its weight and bias, and its output if that
    is an output of the network.

    Args:
        graph: The prepared graph.
        quantized: What `quantize_graph` made of it.
        measured: Layers that are integer in the plan, in topological order.
        batches: Batch; padding is not counted.
        threads: Threads inside one operator; 0 for all cores.
    """
    table = OneAtATime(
        graph, [quantized], [QuantizedSet(layers=(layer,)) for layer in measured], threads
    )
    errors = [[ErrorSums() for _ in table.outputs] for _ in measured]
    broken: set[tuple[int, int]] = set()
    for batch in batches:
        outputs, answers = table.answers(batch.feeds)
        wanted = [x.astype(np.float64) for x in outputs]
        signal = [_squares(np.where(np.isfinite(x), x, 0)) for x in wanted]
        rows = RowSums.of(batch)
        for row, answer in answers:
            for column, got in enumerate(answer):
                noise = _noise(wanted[column], got)
                if not np.all(np.isfinite(noise)):
                    broken.add((row, column))
                errors[row][column].add(signal[column], noise, rows)
    return {
        layer.name: _worst(row, [column for column in range(len(row)) if (n, column) in broken])
        for n, (layer, row) in enumerate(zip(measured, errors, strict=True))
    }


def _squares(x: Array) -> Array:
    """Return the sum of squares of each row, `[rows, 1]`."""
    flat = x.reshape(len(x) if x.ndim else 1, -1)
    squares: Array = np.einsum("ij,ij->i", flat, flat)
    return squares[:, None]


def _noise(want: Array, got: Array) -> Array:
    """Return the squares of a difference; nan for shapes that differ, as for boxes of any number."""
    if got.shape != want.shape:
        return np.full((len(want) if want.ndim else 1, 1), np.nan)
    return _squares(np.where(np.isfinite(want), got - np.where(np.isfinite(want), want, 0), 0))


def _worst(errors: Sequence[ErrorSums], broken: Sequence[int]) -> IsolatedError:
    """Return the error at the worst output that could be compared, nan when none could."""
    known = [e for column, e in enumerate(errors) if column not in broken]
    every = [e.sqnr_db for e in known if not np.isnan(e.sqnr_db)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an image that no output tells apart
        nothing = np.full(errors[0].by_image.shape, np.nan)
        by_image = np.nanmin([nothing, *(e.by_image for e in known)], axis=0)
    return IsolatedError(sqnr_db=min(every, default=float("nan")), by_image=by_image)

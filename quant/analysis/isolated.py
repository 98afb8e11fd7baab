"""Isolated error: only one layer quantized, the error at the network's outputs."""

__all__ = ["IsolatedError", "isolated_errors"]

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.compare.batch import Batch
from quant.compare.error_sums import ErrorSums
from quant.graph.layer import Layer
from quant.graph.prepared_graph import Graph
from quant.metrics.squared_error import row_errors
from quant.simulate.one_at_a_time import OneAtATime, QuantizedSet


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolatedError:
    """The error at the network's outputs when one layer is quantized.

    Attributes:
        sqnr_db: SQNR at the worst output, in dB.
        by_image: float64 `[images]`, the same for each image; nan where no output has an axis of
            images.
    """

    sqnr_db: float
    by_image: NDArray[np.float64]


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
        batches: The samples; padding is not counted.
        threads: Threads inside one operator; 0 for all cores.
    """
    table = OneAtATime(
        graph, [quantized], [QuantizedSet(layers=(layer,)) for layer in measured], threads
    )
    errors = [[ErrorSums() for _ in table.outputs] for _ in measured]
    broken: set[tuple[int, int]] = set()
    for batch in batches:
        outputs, answers = table.answers(batch.feeds)
        for row, answer in answers:
            for column, (reference, other) in enumerate(zip(outputs, answer, strict=True)):
                rows = len(reference) if reference.ndim else 1
                signal, noise = row_errors(reference, other, rows)
                if not np.all(np.isfinite(noise)):
                    broken.add((row, column))
                errors[row][column].add(signal[:, None], noise[:, None], batch)
    return {
        layer.name: _worst(row, [column for column in range(len(row)) if (n, column) in broken])
        for n, (layer, row) in enumerate(zip(measured, errors, strict=True))
    }


def _worst(errors: Sequence[ErrorSums], broken: Sequence[int]) -> IsolatedError:
    """Return the error at the worst output that could be compared, nan when none could."""
    comparable = [e for column, e in enumerate(errors) if column not in broken]
    values = [e.sqnr_db for e in comparable if not np.isnan(e.sqnr_db)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an image that no output tells apart
        nothing = np.full(errors[0].by_image.shape, np.nan)
        by_image = np.nanmin([nothing, *(e.by_image for e in comparable)], axis=0)
    return IsolatedError(sqnr_db=min(values, default=float("nan")), by_image=by_image)

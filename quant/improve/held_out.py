"""Judge: one number for a simulated network on samples held aside, steady enough to decide by.

The SQNR of all samples together is ruled by the few with the greatest error; on some dozen samples
it moves by more than a step buys. The mean over the samples of each one's own SQNR in dB does not.
"""

__all__ = ["HeldOutSqnr"]

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.compare.batch import Batch
from quant.compare.comparison import float_outputs

TOP_DB = 100.0
"""A sample without any error counts as this."""

Array = NDArray[Any]


class HeldOutSqnr:
    """The float outputs of the samples held aside.

    Args:
        plain: ONNX Runtime session of the float network.
        samples: The samples.
    """

    def __init__(self, plain: Any, samples: Sequence[Batch]) -> None:
        self._batches = list(samples)
        names = [o.name for o in plain.get_outputs()]
        outputs = [plain.run(names, dict(b.feeds)) for b in self._batches]
        kept = float_outputs(outputs[0])
        self._names = [names[i] for i in kept]
        self._wanted = [[made[i] for i in kept] for made in outputs]

    def db(self, session: Any) -> float:
        """Return the mean SQNR of a sample in dB, of the worst output; nan when none can be compared.

        A sample's SQNR is 10 log10(sum x^2 / sum (x - y)^2) over what is finite in x, at most 100.
        An output whose first axis is not the samples counts a batch as one sample.
        """
        found: list[list[float]] = [[] for _ in self._names]
        for batch, wanted in zip(self._batches, self._wanted, strict=True):
            answers = session.run(self._names, dict(batch.feeds))
            for rows, x, y in zip(found, wanted, answers, strict=True):
                rows += _each(batch.samples(x), batch.samples(y), batch.count)
        means = [float(np.mean(rows)) for rows in found if rows and not np.any(np.isnan(rows))]
        return min(means, default=float("nan"))


def _each(x: Array, y: Array, count: int) -> list[float]:
    """Return the SQNR of each sample, of those whose signal is not 0."""
    if x.shape != y.shape:
        return [float("nan")]
    finite = np.isfinite(x)
    parts = count if x.ndim and len(x) == count else 1
    signal = np.where(finite, x, 0).astype(np.float64).reshape(parts, -1)
    noise = signal - np.where(finite, y, 0).astype(np.float64).reshape(parts, -1)
    powers = np.sum(signal**2, axis=1), np.sum(noise**2, axis=1)
    with np.errstate(divide="ignore"):
        rows = 10 * np.log10(powers[0]) - 10 * np.log10(np.maximum(powers[1], 1e-300))
    return [min(float(v), TOP_DB) for v, s in zip(rows, powers[0], strict=True) if s > 0]

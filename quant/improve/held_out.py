"""Mean SQNR of a held-out sample: the score that decides whether an accuracy step is kept.

The SQNR of all samples together is dominated by the few with the largest error; on some dozen samples
it moves by more than a step gains. The mean over the samples of each one's own SQNR in dB does not.
"""

__all__ = ["HeldOutSqnr"]

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.compare.batch import Batch
from quant.compare.comparison import measurable_outputs

TOP_DB = 100.0
"""A sample without any error counts as this."""

Array = NDArray[Any]


class HeldOutSqnr:
    """The score of simulated networks on held-out samples, against the float network's outputs.

    Args:
        float_session: ONNX Runtime session of the float network.
        batches: The held-out samples, at least one batch.
    """

    def __init__(self, float_session: Any, batches: Sequence[Batch]) -> None:
        self._batches = list(batches)
        names = [o.name for o in float_session.get_outputs()]
        outputs = [float_session.run(names, dict(b.feeds)) for b in self._batches]
        compared = measurable_outputs(outputs[0])
        self._names = [names[i] for i in compared]
        self._expected = [[arrays[i] for i in compared] for arrays in outputs]

    def db(self, session: Any) -> float:
        """Return the mean SQNR of a sample in dB, of the worst output; nan when none can be compared.

        A sample's SQNR is 10 log10(sum x^2 / sum (x - y)^2) over what is finite in x, at most 100.
        An output whose first axis is not the samples counts a batch as one sample.
        """
        by_output: list[list[float]] = [[] for _ in self._names]
        for batch, expected in zip(self._batches, self._expected, strict=True):
            answers = session.run(self._names, dict(batch.feeds))
            for rows, x, y in zip(by_output, expected, answers, strict=True):
                rows += _each(batch.samples(x), batch.samples(y), batch.count)
        means = [float(np.mean(rows)) for rows in by_output if rows and not np.any(np.isnan(rows))]
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

"""Gathering: one candidate's answers to each sample, batch by batch, until they are a table."""

__all__ = ["Gathering", "error_of_rows"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.compare.metrics import Metric
from quant.compare.sample_table import SampleTable

Array = NDArray[Any]
NOBODY = -1
"""The class of a sample without one."""


def error_of_rows(want: Array, got: Array, count: int) -> tuple[Array, Array]:
    """Return the sums of squares of `want` and of `want - got` for each sample, float64 `[count]`.

    Over what is finite in `want`. nan where rows are not samples, or the shapes differ.
    """
    rows = 1 if want.ndim == 0 else len(want)
    if want.shape != got.shape or (rows != count and count != 1):
        return np.full(count, np.nan), np.full(count, np.nan)
    finite = np.isfinite(want)
    x = np.where(finite, want, 0).astype(np.float64).reshape(count, -1)
    e = x - np.where(finite, got, 0).astype(np.float64).reshape(count, -1)
    return np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", e, e)


@dataclass
class Gathering:
    """What has been seen of a candidate so far."""

    signal: list[list[Array]] = field(default_factory=list)
    noise: list[list[Array]] = field(default_factory=list)
    before: list[Array] = field(default_factory=list)
    after: list[Array] = field(default_factory=list)

    def see(self, want: Sequence[Array], got: Sequence[Array], count: int) -> None:
        """Take one batch's outputs on which errors are measured."""
        pairs = [error_of_rows(a, b, count) for a, b in zip(want, got, strict=True)]
        self.signal.append([s for s, _ in pairs])
        self.noise.append([n for _, n in pairs])

    def see_classes(self, want: Array, got: Array) -> None:
        """Take one batch's scores, `[count, classes]`; a row that is not finite has no class."""
        self.before.append(_classes(want))
        self.after.append(_classes(got) if got.shape == want.shape else _nobody(len(want)))

    def table(
        self,
        names: Sequence[str],
        samples: Sequence[tuple[str, str, int | None]],
        scores: Mapping[str, Sequence[Array]],
        float_scores: Mapping[str, Sequence[Array]],
        metrics: Sequence[Metric],
    ) -> SampleTable:
        """Return the table.

        Args:
            names: Of the outputs that `see` was given.
            samples: Key, digest and label of each.
            scores: By metric name the candidate's, a part a batch; a metric that did not judge
                every sample is left out.
            float_scores: The same of the float network.
            metrics: With their directions.
        """
        count = len(samples)
        classes = sum(map(len, self.before)) == count
        sums = [
            {n: np.concatenate([part[i] for part in parts]) for i, n in enumerate(names)}
            for parts in (self.signal, self.noise)
        ]
        judged = {k for k, parts in scores.items() if sum(map(len, parts)) == count}
        return SampleTable(
            keys=tuple(key for key, _, _ in samples),
            digests=tuple(digest for _, digest, _ in samples),
            labels=np.array([NOBODY if x is None else x for _, _, x in samples], np.int64),
            before=np.concatenate(self.before) if classes else _nobody(count),
            after=np.concatenate(self.after) if classes else _nobody(count),
            float_scores={k: np.concatenate(v) for k, v in float_scores.items() if k in judged},
            scores={k: np.concatenate(v) for k, v in scores.items() if k in judged},
            signal=sums[0],
            noise=sums[1],
            better={m.name: m.better for m in metrics if m.name in judged},
        )


def _classes(scores: Array) -> Array:
    found = scores.argmax(axis=1)
    return np.where(np.isfinite(scores).all(axis=1), found, NOBODY).astype(np.int64)


def _nobody(count: int) -> Array:
    return np.full(count, NOBODY, np.int64)

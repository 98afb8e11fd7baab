"""The exact test of a drop of accuracy, from two models' answers to the same samples.

Of `n` samples the reference alone is right on `b` and the candidate alone on `c`; the drop is
`p_b - p_c`, estimated by `(b - c) / n`. Samples on which both are right or both are wrong carry no
information about it, so a paired test needs about a tenth of the samples that two separate
accuracies need.
"""

__all__ = ["Paired", "chance_of_less", "chance_of_more", "drop_bounds", "mcnemar", "wilson"]

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

F64 = NDArray[np.float64]

NUISANCE_VALUES = 24
"""Tried values of the nuisance parameter; more values change no p-value by 1 % of itself."""
NUISANCE_SHARE = 1e-3
"""Share of the error level spent on the interval of the nuisance parameter (Berger and Boos)."""
TAIL_SHARE = 1e-4
"""Share of the error level in the cut-off tails of the distribution; it is added back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """How often one of two models is right where the other is wrong.

    Attributes:
        samples: Number of all samples, `n`.
        lost: Samples on which only the reference is right, `b`.
        won: Samples on which only the candidate is right, `c`.
    """

    samples: int
    lost: int
    won: int

    def __post_init__(self) -> None:
        if min(self.lost, self.won) < 0 or self.lost + self.won > self.samples:
            raise ValueError(f"lost and won must fit into the samples, saw {self}.")

    @property
    def drop(self) -> float:
        """The share of samples lost, less the share won; nan for no samples."""
        return (self.lost - self.won) / self.samples if self.samples else float("nan")

    @property
    def swapped(self) -> "Paired":
        """The counts with the two models exchanged."""
        return Paired(samples=self.samples, lost=self.won, won=self.lost)


def mcnemar(pair: Paired) -> float:
    """Return the two-sided p-value of McNemar's exact test of "nothing was lost or won".

    Binomial over the discordant samples (McNemar, Psychometrika 12, 1947); 1 when there are none.
    """
    discordant = pair.lost + pair.won
    return float(stats.binomtest(pair.lost, discordant).pvalue) if discordant else 1.0


def wilson(hits: int, samples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's two-sided score interval of a share (J. Am. Stat. Assoc. 22, 1927)."""
    interval = stats.binomtest(hits, samples).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def chance_of_less(pair: Paired, limit: float, level: float) -> float:
    """Return the p-value of "the drop is at least `limit`"; a small one shows a smaller drop.

    Exact and unconditional for every sample size: outcomes are ordered by Tango's score statistic
    (Stat. Med. 17, 1998), and the p-value is the greatest over the unknown share of discordant
    samples (Sidik, Stat. Med. 22, 2003), within the confidence interval of that share (Berger and
    Boos, J. Am. Stat. Assoc. 89, 1994).

    Args:
        pair: The counts.
        limit: A drop, -1 to 1.
        level: Error level that the p-value will be compared with, 0 to 1; a fixed share of it is
            spent on the interval.
    """
    return _chance_of_less(pair.samples, pair.lost, pair.won, limit, level)


def chance_of_more(pair: Paired, limit: float, level: float) -> float:
    """Return the p-value of "the drop is at most `limit`"; a small one shows a greater drop."""
    return chance_of_less(pair.swapped, -limit, level)


def drop_bounds(pair: Paired, level: float) -> tuple[float, float]:
    """Return the bounds of the true drop; each is wrong with a chance of at most `level`.

    They enclose the limits that neither test rejects, to 1e-5, so the coverage is `1 - 2 * level`.
    """
    high = _highest(pair, level)
    return -_highest(pair.swapped, level), high


def _highest(pair: Paired, level: float) -> float:
    """Return the lowest limit that the drop is shown to be below."""
    if not pair.samples:
        return 1.0
    low, high = pair.drop, 1.0
    while high - low > 1e-5:
        middle = (low + high) / 2
        if chance_of_less(pair, middle, level) <= level:
            high = middle
        else:
            low = middle
    return high


def _score(lost: Any, won: Any, n: int, limit: float) -> F64:
    """Return Tango's score statistic of `drop = limit`; it grows with the observed drop."""
    b = -lost - won + (2 * n - lost + won) * limit
    root = np.sqrt(np.maximum(b * b + 8 * n * won * limit * (1 - limit), 0))
    share = np.maximum((root - b) / (4 * n), max(0.0, -limit))
    spread = np.sqrt(np.maximum(n * (2 * share + limit * (1 - limit)), 1e-300))
    score: F64 = (lost - won - n * limit) / spread
    return score


@lru_cache(maxsize=1 << 16)
def _chance_of_less(n: int, lost: int, won: int, limit: float, level: float) -> float:
    if not n or limit <= -1:
        return 1.0
    if limit >= 1:
        return 0.0 if lost < n else 1.0
    excluded = NUISANCE_SHARE * level
    shares = _nuisance(n, won, limit, excluded)
    cut = TAIL_SHARE * level
    first = int(stats.binom.ppf(cut / 2, n, shares[0]))
    last = int(stats.binom.isf(cut / 2, n, shares[-1]))
    others = np.arange(max(first - 1, 0), min(last + 1, n) + 1)
    most = _most(others, n, limit, float(_score(lost, won, n, limit)))
    q = shares[:, None]
    conditional = np.clip((q + limit) / np.maximum(1 - q, 1e-12), 0, 1)
    below = stats.binom.cdf(most, n - others, conditional)
    total = np.sum(stats.binom.pmf(others, n, q) * below, axis=1)
    return min(1.0, float(total.max()) + excluded + cut)


def _nuisance(n: int, won: int, limit: float, excluded: float) -> F64:
    """Return shares of won samples from their confidence interval, which misses with `excluded`."""
    low = float(stats.beta.ppf(excluded / 2, won, n - won + 1)) if won else 0.0
    high = float(stats.beta.isf(excluded / 2, won + 1, n - won)) if won < n else 1.0
    least, greatest = max(0.0, -limit), (1 - limit) / 2
    low, high = (float(np.clip(x, least, greatest)) for x in (low, high))
    return np.linspace(low, high, NUISANCE_VALUES)


def _most(others: NDArray[np.int64], n: int, limit: float, score: float) -> NDArray[np.int64]:
    """Return for each count of won samples the greatest count of lost ones with at most `score`.

    By bisection, because the score grows with the lost samples; -1 where no count is low enough.
    """
    low, high = np.full(len(others), -1), n - others
    while np.any(low < high):
        middle = (low + high + 1) // 2
        fits = _score(middle.astype(np.float64), others, n, limit) <= score + 1e-9
        low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
    return low

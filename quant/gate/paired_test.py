"""Paired: how much accuracy was lost, from two networks' answers to the same samples.

Of `n` samples the reference alone is right on `b` and the candidate alone on `c`; the drop is
`p_b - p_c`, seen as `(b - c) / n`. The samples on which both are right or both wrong say nothing of
it, which is why pairing needs about a tenth of the samples that two separate accuracies need.
"""

__all__ = ["Paired", "chance_of_less", "chance_of_more", "drop_bounds", "mcnemar", "wilson"]

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

F64 = NDArray[np.float64]

NUISANCE = 24
"""Values of the nuisance parameter that are tried; more change no p-value by 1 % of itself."""
GIVEN_AWAY = 1e-3
"""Share of the error rate that is spent on where the nuisance parameter lies (Berger and Boos)."""
TAIL = 1e-4
"""Share of the error rate that the cut-off ends of a distribution may hold; it is added back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Counts of one paired comparison of right and wrong.

    Attributes:
        samples: All of them, `n`.
        lost: Right in the reference and wrong in the candidate, `b`.
        won: The other way round, `c`.
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
    def turned(self) -> "Paired":
        """The same with the two networks exchanged."""
        return Paired(samples=self.samples, lost=self.won, won=self.lost)


def mcnemar(seen: Paired) -> float:
    """Return the two-sided p-value of McNemar's exact test of "nothing was lost or won".

    Binomial over the discordant samples (McNemar, Psychometrika 12, 1947); 1 when there are none.
    """
    count = seen.lost + seen.won
    return float(stats.binomtest(seen.lost, count).pvalue) if count else 1.0


def wilson(hits: int, samples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's two-sided score interval of a share (J. Am. Stat. Assoc. 22, 1927)."""
    found = stats.binomtest(hits, samples).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def chance_of_less(seen: Paired, limit: float, level: float) -> float:
    """Return the p-value of "the drop is at least `limit`": small means that it is less.

    Exact and unconditional for every sample size: the samples are ordered by Tango's score statistic
    (Stat. Med. 17, 1998), and the chance of an outcome as low is the greatest over the unknown share
    of discordant samples (Sidik, Stat. Med. 22, 2003), within its confidence interval (Berger and
    Boos, J. Am. Stat. Assoc. 89, 1994).

    Args:
        seen: The counts.
        limit: A drop, -1 to 1.
        level: The error rate that the p-value will be held against, 0 to 1; it sets how much of it
            is given to the interval.
    """
    return _chance_of_less(seen.samples, seen.lost, seen.won, limit, level)


def chance_of_more(seen: Paired, limit: float, level: float) -> float:
    """Return the p-value of "the drop is at most `limit`": small means that it is more."""
    return chance_of_less(seen.turned, -limit, level)


def drop_bounds(seen: Paired, level: float) -> tuple[float, float]:
    """Return the drops between which the true one lies; each bound is wrong with chance `level`.

    The limits that the two tests do not refuse, to 1e-5; so `1 - 2 * level` is the coverage.
    """
    high = _highest(seen, level)
    return -_highest(seen.turned, level), high


def _highest(seen: Paired, level: float) -> float:
    """Return the least limit that the drop is shown to be below."""
    if not seen.samples:
        return 1.0
    low, high = seen.drop, 1.0
    while high - low > 1e-5:
        middle = (low + high) / 2
        if chance_of_less(seen, middle, level) <= level:
            high = middle
        else:
            low = middle
    return high


def _score(lost: Any, won: Any, n: int, limit: float) -> F64:
    """Return Tango's score statistic of `drop = limit`; the greater, the greater the drop seen."""
    b = -lost - won + (2 * n - lost + won) * limit
    root = np.sqrt(np.maximum(b * b + 8 * n * won * limit * (1 - limit), 0))
    share = np.maximum((root - b) / (4 * n), max(0.0, -limit))
    spread = np.sqrt(np.maximum(n * (2 * share + limit * (1 - limit)), 1e-300))
    found: F64 = (lost - won - n * limit) / spread
    return found


@lru_cache(maxsize=1 << 16)
def _chance_of_less(n: int, lost: int, won: int, limit: float, level: float) -> float:
    if not n or limit <= -1:
        return 1.0
    if limit >= 1:
        return 0.0 if lost < n else 1.0
    given = GIVEN_AWAY * level
    shares = _nuisance(n, won, limit, given)
    cut = TAIL * level
    first = int(stats.binom.ppf(cut / 2, n, shares[0]))
    last = int(stats.binom.isf(cut / 2, n, shares[-1]))
    others = np.arange(max(first - 1, 0), min(last + 1, n) + 1)
    most = _most(others, n, limit, float(_score(lost, won, n, limit)))
    q = shares[:, None]
    rest = np.clip((q + limit) / np.maximum(1 - q, 1e-12), 0, 1)
    below = stats.binom.cdf(most, n - others, rest)
    total = np.sum(stats.binom.pmf(others, n, q) * below, axis=1)
    return min(1.0, float(total.max()) + given + cut)


def _nuisance(n: int, won: int, limit: float, given: float) -> F64:
    """Return shares of won samples that the counts do not rule out, `given` of the time wrongly."""
    low = float(stats.beta.ppf(given / 2, won, n - won + 1)) if won else 0.0
    high = float(stats.beta.isf(given / 2, won + 1, n - won)) if won < n else 1.0
    least, greatest = max(0.0, -limit), (1 - limit) / 2
    low, high = (float(np.clip(x, least, greatest)) for x in (low, high))
    return np.linspace(low, high, NUISANCE)


def _most(others: NDArray[np.int64], n: int, limit: float, score: float) -> NDArray[np.int64]:
    """Return for each count of won samples the most lost ones with a score of at most `score`.

    By bisection: the score grows with the lost samples. -1 where even none has too great a score.
    """
    low, high = np.full(len(others), -1), n - others
    while np.any(low < high):
        middle = (low + high + 1) // 2
        fits = _score(middle.astype(np.float64), others, n, limit) <= score + 1e-9
        low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
    return low

"""Sequential testing: deciding early, on part of the samples, at the same error level.

A test that is repeated whenever samples arrive is wrong far more often than its level says. Here the
number of samples is known and there are only a few interim tests ("looks"), so the level is *spent*:
almost nothing at the first looks, most of it at the last (Lan and DeMets, Biometrika 70, 1983, with
the spending function that follows O'Brien and Fleming's boundary). A model that is clearly broken or
clearly fine is decided at an early look, and a close one keeps 90 % of the level for the last look.

The levels of the looks add up to the whole level and each look keeps its own, so by the union bound
the chance of any wrong verdict is at most their sum, whatever the dependence between looks and
without a normal approximation. A confidence sequence (Howard et al., Ann. Stat. 49, 2021) would also
allow stopping at any time and endless data; where the end is known its intervals are wider.
"""

__all__ = ["LOOKS", "levels", "looks"]

from collections.abc import Sequence
from itertools import pairwise

from scipy import stats

LOOKS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""The looks, as shares of the samples; doubled, so that an early stop saves half or more."""


def looks(samples: int, fewest: int = 32) -> list[int]:
    """Return the number of samples at each look, ascending; the last look has all samples.

    >>> looks(2000)
    [125, 250, 500, 1000, 2000]
    >>> looks(100)
    [50, 100]
    """
    early = [round(samples * share) for share in LOOKS[:-1]]
    return [n for n in early if n >= fewest and n < samples] + [samples]


def levels(counts: Sequence[int], level: float) -> list[float]:
    """Return the part of the error level that each look may spend; the parts add up to `level`.

    After a share t of the samples `2 - 2 * Phi(z / sqrt(t))` is spent, where `z` is the point that
    a normal variable exceeds with chance `level / 2`.

    Args:
        counts: Samples at each look, ascending.
        level: 0 to 1.

    >>> [round(x, 4) for x in levels([500, 1000, 2000], 0.05)]
    [0.0001, 0.0055, 0.0444]
    """
    point = stats.norm.isf(level / 2)
    spent = [2 * float(stats.norm.sf(point / (n / counts[-1]) ** 0.5)) for n in counts]
    return [spent[0], *(b - a for a, b in pairwise(spent))]

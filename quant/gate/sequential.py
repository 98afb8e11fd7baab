"""Sequential: looking at the samples as they come without raising the chance of a wrong verdict.

A test that is repeated whenever samples arrive is wrong far more often than its level says. The
samples here are few looks at a data set of known size, so the level is *spent*: most of it at the
end, next to nothing at the beginning (Lan and DeMets, Biometrika 70, 1983, with the spending
function that follows O'Brien and Fleming's boundary). A model that is plainly broken or plainly fine
is decided at an early look, and a close one keeps 90 % of the level for the last.

The levels of the looks add up to the whole level, and each look's own test holds its part, so the
chance of any wrong verdict is at most their sum: by the union bound, whatever the dependence between
looks, without a normal approximation. A confidence sequence (Howard et al., Ann. Stat. 49, 2021)
would also allow stopping at any time and data without an end; where the end is known it pays for
that with wider intervals.
"""

__all__ = ["LOOKS", "levels", "looks"]

from collections.abc import Sequence
from itertools import pairwise

from scipy import stats

LOOKS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""When to look, as shares of the samples: doubling, for an early stop must save a half or more."""


def looks(samples: int, fewest: int = 32) -> list[int]:
    """Return after how many samples to look, ascending; the last one is all of them.

    >>> looks(2000)
    [125, 250, 500, 1000, 2000]
    >>> looks(100)
    [50, 100]
    """
    early = [round(samples * share) for share in LOOKS[:-1]]
    return [n for n in early if n >= fewest and n < samples] + [samples]


def levels(counts: Sequence[int], level: float) -> list[float]:
    """Return how much of the level each look may spend; they add up to `level`.

    By time t, the share of the samples seen, `2 - 2 * Phi(z / sqrt(t))` is spent, where `z` is the
    point that a normal variable exceeds with chance `level / 2`.

    Args:
        counts: Samples at each look, ascending.
        level: 0 to 1.

    >>> [round(x, 4) for x in levels([500, 1000, 2000], 0.05)]
    [0.0001, 0.0055, 0.0444]
    """
    point = stats.norm.isf(level / 2)
    spent = [2 * float(stats.norm.sf(point / (n / counts[-1]) ** 0.5)) for n in counts]
    return [spent[0], *(b - a for a, b in pairwise(spent))]

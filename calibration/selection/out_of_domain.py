"""How far each sample lies outside of the others, and which ones are out of domain."""

__all__ = ["MIN_SAMPLES", "MIN_SCORE", "domain_scores", "out_of_domain"]

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import LocalOutlierFactor

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

NEIGHBOURS = 20
"""Neighbours of the local outlier factor, as Breunig et al. 2000 advise: a group of fewer samples far
from all others is out of domain, a larger one is a part of it."""
MIN_SCORE = 6.0
"""The score from which a sample is out of domain (docs/selection.md has the false alarms)."""
MIN_FACTOR = 1.4
"""The least local outlier factor of such a sample: its density is that many times thinner."""
MIN_SAMPLES = 30
"""With fewer samples no statement is possible."""
MAX_SHARE = 0.05
"""The largest share of a domain that may lie outside of it; more are a domain of their own."""


def domain_scores(points: F64) -> tuple[F64, F64]:
    """Return score and local outlier factor of each point, float64 `[samples]`.

    The local outlier factor (Breunig, Kriegel, Ng, Sander 2000; scikit-learn's) is the mean density
    of a point's neighbours over its own, about 1 inside of a domain. The score is the robust
    z-score of its logarithm: ``(log f - median) / (1.4826 * median |log f - median|)``.

    Zeros and ones below LEAST samples, or where all points are equal.
    """
    n = len(points)
    if n < MIN_SAMPLES or not np.ptp(points, axis=0).any():
        return np.zeros(n), np.ones(n)
    model = LocalOutlierFactor(n_neighbors=NEIGHBOURS if n > 4 * NEIGHBOURS else n // 4)
    factor = -np.asarray(model.fit(points).negative_outlier_factor_, np.float64)
    log = np.log(np.maximum(factor, 1e-12))
    middle = float(np.median(log))
    spread = 1.4826 * float(np.median(np.abs(log - middle)))
    return (log - middle) / max(spread, 1e-3), factor


def out_of_domain(
    embed: Callable[[I64], F64], among: I64, samples: int
) -> tuple[F64, NDArray[np.bool_]]:
    """Return the score of each sample, and whether it is out of domain; `[samples]` both.

    Where more than FEW of a domain lie outside of it, they are judged among themselves: a pool of
    two videos and some photographs has no right to call the photographs errors.

    Args:
        embed: Returns float64 `[rows, axes]` for the samples it is given, fitted to them.
        among: Samples to judge; copies of others would make a domain of their own, and are left out.
        samples: How many there are.
    """
    score, outside = np.zeros(samples), np.zeros(samples, np.bool_)
    while len(among) >= MIN_SAMPLES:
        scores, factor = domain_scores(embed(among))
        far = (scores >= MIN_SCORE) & (factor >= MIN_FACTOR)
        score[among], outside[among] = scores, far
        if far.mean() <= MAX_SHARE or far.all():
            break
        outside[among] = False
        among = among[far]
        score[among] = 0.0
    return score, outside

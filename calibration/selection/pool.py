"""The pool that samples are chosen from: its copies, what is out of domain, and its coverage."""

__all__ = ["Pool", "screened"]

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.calibration.selection.coverage import METHODS, nearest_chosen, neighbour_distances
from quant.calibration.selection.duplicates import duplicates_of, exact_copies, near_copies
from quant.calibration.selection.embedding import Embedding
from quant.calibration.selection.features import Features
from quant.calibration.selection.out_of_domain import out_of_domain

Bools = NDArray[np.bool_]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """What is known of each sample, in the order of its features.

    Attributes:
        features: The samples.
        points: float64 `[samples, axes]`, their places in the embedding of those that may be
            chosen; nan where a feature is not finite.
        copy_of: int64 `[samples]`: the sample that one is a copy of, or -1.
        exact: bool `[samples]`: whether the copy equals it in every byte.
        score: float64 `[samples]`: how far out of domain, see `out_of_domain.domain_scores`; a copy has
            its original's, nan where a feature is not finite.
        out_of_domain: bool `[samples]`: whether that score is too high.
    """

    features: Features
    points: F64
    copy_of: I64
    exact: Bools
    score: F64
    out_of_domain: Bools

    def __len__(self) -> int:
        return len(self.features)

    @property
    def broken(self) -> Bools:
        """Whether some activation is NaN or infinite, bool `[samples]`."""
        return ~self.features.finite

    def eligible(self, keep_out_of_domain: bool = False) -> I64:
        """Return the samples that may be chosen: finite, of the domain, and no copies.

        Args:
            keep_out_of_domain: Whether samples out of domain are eligible too.
        """
        return np.flatnonzero(
            ~self.broken & (keep_out_of_domain | ~self.out_of_domain) & (self.copy_of < 0)
        )

    def choose(
        self, method: str, count: int, seed: int = 0, keep_out_of_domain: bool = False
    ) -> I64:
        """Return at most `count` of the eligible samples, those to keep longest first.

        Args:
            method: A name of `coverage.METHODS`.
            count: From 1; all eligible ones where there are fewer.
            seed: Seed of "kmeans" and "random".
            keep_out_of_domain: See `eligible`.
        """
        among = self.eligible(keep_out_of_domain)
        distinct = len(np.unique(self.points[among], axis=0)) if method == "kmeans" else len(among)
        picked = METHODS[method](self.points[among], min(count, distinct), seed)
        return np.asarray(among[picked], np.int64)

    def stands_for(self, chosen: I64) -> tuple[I64, F64]:
        """Return for each sample the nearest chosen one and how far that is.

        The distance is in units of the typical one between neighbours in the pool: the median over
        the eligible samples. A sample with features that are not finite has -1 and nan.
        """
        nearest, apart = nearest_chosen(np.nan_to_num(self.points), chosen)
        representatives = np.where(self.broken, -1, chosen[nearest])
        return representatives, np.where(self.broken, np.nan, apart / self.spacing)

    @property
    def spacing(self) -> float:
        """The median distance of an eligible sample to its nearest neighbour; 1 where it is 0."""
        distances = neighbour_distances(self.points[self.eligible()])
        return float(np.median(distances)) or 1.0 if len(distances) else 1.0


def screened(features: Features) -> Pool:
    """Return the pool of samples, with its copies and what is out of domain.

    Exact copies are left out first, then what is out of domain is found, then the near copies, by
    thumbnails and by the embedding.

    Args:
        features: At least one sample.
    """
    groups = {name: x for name, x in features.groups.items() if name != "input"}
    exact = exact_copies(features.digests)
    finite = features.finite
    single = np.flatnonzero(finite & (exact < 0))
    alike = near_copies(features.thumbnails, single)
    originals = single[alike[single] < 0]

    def embed(rows: I64) -> F64:
        own = _rows(groups, rows)
        return Embedding.fit(own).place(own)

    score, outside = out_of_domain(embed, originals, len(features))
    originals_of = np.where(alike >= 0, alike, np.arange(len(features)))
    score, outside = score[originals_of], outside[originals_of]
    inside = originals[~outside[originals]]
    points = np.full((len(features), 1), np.nan)
    if len(inside):
        embedding = Embedding.fit(_rows(groups, inside))
        placed = embedding.place(_rows(groups, np.flatnonzero(finite)))
        points = np.full((len(features), placed.shape[1]), np.nan)
        points[finite] = placed
        alike = duplicates_of(alike, points, single)
    copy_of = np.where(exact >= 0, exact, alike)
    root = copy_of.copy()
    for i in np.flatnonzero(root >= 0).tolist():  # a copy of a copy is one of the original
        while root[root[i]] >= 0:
            root[i] = root[root[i]]
    source = np.where(root >= 0, root, np.arange(len(features)))
    score = np.where(finite, score[source], np.nan)
    return Pool(
        features=features,
        points=points,
        copy_of=root,
        exact=exact >= 0,
        score=score,
        out_of_domain=outside[source] & finite,
    )


def _rows(groups: Mapping[str, NDArray[np.float32]], rows: I64) -> dict[str, NDArray[np.float32]]:
    return {name: x[rows] for name, x in groups.items()}

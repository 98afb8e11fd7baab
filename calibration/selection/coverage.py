"""Choose samples that cover a pool, by their places in an embedding."""

__all__ = [
    "METHODS",
    "Method",
    "kcentre",
    "kmeans",
    "nearest_chosen",
    "neighbour_distances",
    "random",
]

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

from quant.calibration.selection.split import random_order

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

Method = Callable[[F64, int, int], I64]
"""Takes points `[n, axes]`, how many to choose (1 to n) and a seed; returns their positions, in the
order in which a shorter list should be cut off."""


def _squares(points: F64, point: F64) -> F64:
    """Return the squared distance of every point to one."""
    return np.asarray(((points - point) ** 2).sum(axis=1), np.float64)


def kcentre(points: F64, count: int, seed: int) -> I64:
    """Return the greedy k-centre choice: from the middle outward, always the farthest point next.

    The largest distance to a chosen point is at most twice the least possible (Gonzalez 1985).
    The seed decides nothing. Ties go to the first.
    """
    chosen = [int(np.argmin(_squares(points, points.mean(axis=0))))]
    distance = _squares(points, points[chosen[0]])
    while len(chosen) < count:
        distance[chosen] = -1.0
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, _squares(points, points[chosen[-1]]))
    return np.array(chosen, np.int64)


def kmeans(points: F64, count: int, seed: int) -> I64:
    """Return the points nearest to the centres of k-means, those of the largest clusters first."""
    model = KMeans(count, n_init=1, random_state=seed).fit(points)
    distance = ((points - model.cluster_centers_[model.labels_]) ** 2).sum(axis=1)
    sizes = np.bincount(model.labels_, minlength=count)
    order = np.argsort(-sizes, kind="stable")
    members = [np.flatnonzero(model.labels_ == c) for c in order]
    return np.array([m[np.argmin(distance[m])] for m in members if len(m)], np.int64)


def random(points: F64, count: int, seed: int) -> I64:
    """Return points drawn at random, in the order of drawing."""
    return np.array(random_order(len(points), seed)[:count], np.int64)


def nearest_chosen(points: F64, chosen: I64) -> tuple[I64, F64]:
    """Return for each point the position in `chosen` of the nearest one, and the distance to it."""
    nearest = np.zeros(len(points), np.int64)
    distance = np.full(len(points), np.inf)
    for position, index in enumerate(chosen.tolist()):
        squares = _squares(points, points[index])
        closer = squares < distance
        nearest[closer], distance[closer] = position, squares[closer]
    return nearest, np.sqrt(distance)


def neighbour_distances(points: F64) -> F64:
    """Return float64 `[n]`, the distance of each point to its nearest neighbour; empty for one."""
    if len(points) < 2:
        return np.zeros(0)
    distances, _ = NearestNeighbors(n_neighbors=1).fit(points).kneighbors()
    return np.asarray(distances[:, 0], np.float64)


METHODS: Mapping[str, Method] = MappingProxyType(
    {"coverage": kcentre, "kmeans": kmeans, "random": random}
)
"""By the name that --method takes."""

"""Samples that stand for the others, against an enumeration of every choice."""

from itertools import combinations

import numpy as np
import pytest

from quant.calibration.selection.coverage import (
    METHODS,
    kcentre,
    kmeans,
    nearest_chosen,
    neighbour_distances,
    random,
)


def radius(points: np.ndarray, chosen: list[int]) -> float:
    """Return the greatest distance of a point to the nearest chosen one."""
    apart = [min(float(np.linalg.norm(p - points[c])) for c in chosen) for p in points]
    return max(apart)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_kcentre_reaches_all_within_twice_the_best_choice(count: int) -> None:
    """Gonzalez' bound, against the best of all choices by trying them."""
    points = np.random.default_rng(5).normal(size=(11, 3))
    best = min(radius(points, list(c)) for c in combinations(range(11), count))

    assert radius(points, kcentre(points, count, 0).tolist()) <= 2 * best


def test_kcentre_goes_from_the_middle_outward() -> None:
    """So a list can be cut off after any line."""
    points = np.array([[0.0], [10.0], [1.0], [4.0], [-9.0]])

    assert kcentre(points, 5, 0).tolist() == [2, 4, 1, 3, 0]
    assert kcentre(points, 2, 7).tolist() == [2, 4]


def test_kcentre_takes_no_point_twice() -> None:
    """Of equal points the distances are all 0."""
    assert sorted(kcentre(np.zeros((6, 2)), 6, 0).tolist()) == [0, 1, 2, 3, 4, 5]


def test_kmeans_takes_a_member_of_each_cluster_the_largest_first() -> None:
    """The mean of a cluster is no sample; the nearest member is."""
    rng = np.random.default_rng(3)
    sizes = {0.0: 5, 100.0: 12, 200.0: 8}
    points = np.concatenate([rng.normal(at, 1, (n, 2)) for at, n in sizes.items()])
    found = kmeans(points, 3, 0).tolist()

    assert [round(points[i, 0] / 100) for i in found] == [1, 2, 0]
    for at, n in ((found[0], 12), (found[1], 8), (found[2], 5)):
        near = np.linalg.norm(points - points[at], axis=1) < 50
        middle = points[near].mean(axis=0)
        assert near.sum() == n
        assert at == int(np.argmin(np.linalg.norm(points - middle, axis=1)))


def test_random_is_the_order_of_pcg64s_words() -> None:
    """The same on every platform, and a longer choice begins with a shorter one."""
    words = np.random.PCG64(9).random_raw(20)
    want = sorted(range(20), key=lambda i: words[i])
    points = np.zeros((20, 1))

    assert random(points, 20, 9).tolist() == want
    assert random(points, 4, 9).tolist() == want[:4]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_chooses_as_many_as_asked_and_none_twice(method: str) -> None:
    """All of them, too."""
    points = np.random.default_rng(0).normal(size=(23, 4))
    for count in (1, 7, 23):
        found = METHODS[method](points, count, 0).tolist()
        assert len(found) == len(set(found)) == count
        assert found == METHODS[method](points, count, 0).tolist()


def test_nearest_chosen_is_the_nearest_by_hand() -> None:
    """3-4-5 triangles."""
    points = np.array([[0.0, 0.0], [3.0, 4.0], [10.0, 0.0]])
    nearest, apart = nearest_chosen(points, np.array([2, 0]))

    assert nearest.tolist() == [1, 1, 0]
    assert apart.tolist() == [0.0, 5.0, 0.0]


def test_neighbour_distances_leave_the_point_itself_out() -> None:
    """Else they would all be 0."""
    assert neighbour_distances(np.array([[0.0], [1.0], [5.0]])).tolist() == [1.0, 1.0, 4.0]
    assert neighbour_distances(np.array([[0.0]])).tolist() == []

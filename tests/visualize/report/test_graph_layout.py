"""The layout of the network: ranks go down, nothing overlaps, chains are straight."""

import itertools

import numpy as np
import pytest

from quant.visualize.report.graph_layout import lay_out


def test_a_chain_is_a_straight_line() -> None:
    """Most networks are chains for the most part."""
    drawn = lay_out(5, [(0, 1), (1, 2), (2, 3), (3, 4)])

    assert drawn.rank == [0, 1, 2, 3, 4]
    assert max(drawn.x) - min(drawn.x) < 1e-9


def test_a_long_edge_goes_around_what_is_between() -> None:
    """A residual connection must not hide behind the layers it skips."""
    drawn = lay_out(4, [(0, 1), (1, 2), (2, 3), (0, 3)])
    way = next(points for a, b, points in drawn.edges if (a, b) == (0, 3))

    assert [rank for _, rank in way] == [1, 2]
    for (x, _), node in zip(way, (1, 2), strict=True):
        assert abs(x - drawn.x[node]) >= 0.6 - 1e-9  # half a node and half a joint


@pytest.mark.parametrize("seed", range(5))
def test_edges_go_down_and_nodes_keep_their_distance(seed: int) -> None:
    """On random graphs too."""
    rng = np.random.default_rng(seed)
    edges = [(a, b) for b in range(1, 60) for a in {int(rng.integers(max(0, b - 9), b))}]
    edges += [(int(a), int(a) + int(d)) for a, d in rng.integers(1, 20, (30, 2)) if a + d < 60]
    drawn = lay_out(60, edges)

    assert all(drawn.rank[a] < drawn.rank[b] for a, b, _ in drawn.edges)
    rows: dict[int, list[float]] = {}
    for x, rank in zip(drawn.x, drawn.rank, strict=True):
        rows.setdefault(rank, []).append(x)
    gaps = [b - a for xs in rows.values() for a, b in itertools.pairwise(sorted(xs))]
    assert all(gap >= 1 - 1e-9 for gap in gaps)
    assert lay_out(60, edges) == drawn


def test_an_input_stands_just_above_its_reader() -> None:
    """A second input of the network is not drawn at the top, far from everything."""
    drawn = lay_out(5, [(0, 1), (1, 2), (2, 4), (3, 4)])

    assert drawn.rank == [0, 1, 2, 2, 3]


def test_there_may_be_nothing_to_draw() -> None:
    """Or a node without edges."""
    assert lay_out(0, []).x == []
    assert lay_out(1, []).rank == [0]

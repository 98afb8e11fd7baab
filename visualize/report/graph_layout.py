"""The layout of a network's graph: layers in ranks from top to bottom, with few crossings.

After Sugiyama, Tagawa and Toda 1981, "Methods for Visual Understanding of Hierarchical System
Structures": ranks by longest path, a joint in every rank that a long edge crosses, order by
barycentres, and coordinates that follow the neighbours.
"""

__all__ = ["Drawing", "lay_out"]

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 6
NODE, JOINT = 1.0, 0.22
"""Widths, in units of a node and the gap beside it."""
MOST_JOINTS = 20_000
"""With more joints than this, long edges are drawn straight."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """The positions of nodes and edges; x in widths of a node, y in ranks.

    Attributes:
        x: Position of each node.
        rank: Rank of each node, from 0.
        edges: First node, second node, and the points `(x, rank)` between them.
    """

    x: list[float]
    rank: list[int]
    edges: list[tuple[int, int, list[tuple[float, int]]]]


def lay_out(count: int, edges: Sequence[tuple[int, int]]) -> Drawing:
    """Return a layout of nodes 0 to count - 1, in topological order, and edges with from < to."""
    edges = sorted({(a, b) for a, b in edges if a < b})
    rank = _ranks(count, edges)
    chains, wide, ranks = _joints(count, edges, rank)
    links = [pair for chain in chains for pair in pairwise(chain)]
    above: list[list[int]] = [[] for _ in ranks]
    below: list[list[int]] = [[] for _ in ranks]
    for a, b in links:
        above[b].append(a)
        below[a].append(b)
    rows: list[list[int]] = [[] for _ in range(max(ranks, default=-1) + 1)]
    for node, number in enumerate(ranks):
        rows[number].append(node)
    x = [0.0] * len(ranks)
    for row in rows:
        _spread(row, x, wide, [float(i) for i in range(len(row))])
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        near = above if down else below
        for row in rows if down else reversed(rows):
            _follow(row, x, wide, near)
    ways = [(c[0], c[-1], [(x[i], ranks[i]) for i in c[1:-1]]) for c in chains]
    return Drawing(x[:count], rank, ways)


def _ranks(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Return the longest path to each node; a node without inputs stands just above its reader."""
    rank = [0] * count
    after: list[list[int]] = [[] for _ in range(count)]
    fed = [False] * count
    for a, b in edges:
        after[a].append(b)
        fed[b] = True
    for a in range(count):
        for b in after[a]:
            rank[b] = max(rank[b], rank[a] + 1)
    for a in range(count):
        if not fed[a] and after[a]:
            rank[a] = min(rank[b] for b in after[a]) - 1
    least = min(rank, default=0)
    return [r - least for r in rank]


def _joints(
    count: int, edges: Sequence[tuple[int, int]], rank: Sequence[int]
) -> tuple[list[list[int]], list[float], list[int]]:
    """Return each edge as a chain through its joints, and width and rank of nodes and joints."""
    chains: list[list[int]] = []
    wide, ranks = [NODE] * count, list(rank)
    for a, b in sorted(edges, key=lambda e: rank[e[1]] - rank[e[0]]):
        between = range(rank[a] + 1, rank[b])
        if len(ranks) - count + len(between) > MOST_JOINTS:
            chains.append([a, b])
            continue
        joints = list(range(len(ranks), len(ranks) + len(between)))
        ranks += between
        wide += [JOINT] * len(joints)
        chains.append([a, *joints, b])
    return chains, wide, ranks


def _follow(row: list[int], x: list[float], wide: list[float], near: list[list[int]]) -> None:
    """Order a row by the mean of its neighbours in the next one, and put it there."""
    centre = {i: sum(x[j] for j in near[i]) / len(near[i]) if near[i] else x[i] for i in row}
    row.sort(key=lambda i: (centre[i], x[i], i))
    _spread(row, x, wide, [centre[i] for i in row])


def _spread(row: Sequence[int], x: list[float], wide: list[float], centre: Sequence[float]) -> None:
    """Place a row as near to where it wants as its widths allow, the order kept.

    Neighbours that would overlap become a block around the mean of what they want (pool adjacent
    violators, for least squares).
    """
    blocks: list[list[float]] = []  # sum of wishes, members
    offset, at = 0.0, []
    for number, node in enumerate(row):
        offset += (wide[row[number - 1]] + wide[node]) / 2 if number else 0.0
        at.append(offset)
        blocks.append([centre[number] - offset, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, members = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += members
    number = 0
    for total, members in blocks:
        for _ in range(int(members)):
            x[row[number]] = total / members + at[number]
            number += 1

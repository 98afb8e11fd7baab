"""The samples that were chosen from a pool and what they cover, as CSV, JSON and text."""

__all__ = ["Selection", "selection_csv", "selection_json", "selection_text"]

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.calibration.selection.pool import Pool
from quant.calibration.selection.sufficiency import Step, Sufficiency, settled_text
from quant.calibration.sources.data import printable
from quant.common.csv_text import csv_lines
from quant.common.version import VERSION

SCHEMA = 1
MAX_NAMED = 5
"""Samples out of domain that the text names at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """The result of `quant select`.

    Attributes:
        data: The user's --data.
        method: How it was chosen.
        seed: Seed of the pool, and of methods that take one.
        requested: Number of samples that were asked for.
        pool: The samples.
        chosen: int64, positions in the pool, those to keep longest first.
        sufficiency: How far the ranges of the first of them are from those of the pool.
        unreadable: Sample and reason of those that could not be read.
    """

    data: str
    method: str
    seed: int
    requested: int
    pool: Pool
    chosen: NDArray[np.int64]
    sufficiency: Sufficiency
    unreadable: tuple[tuple[str, str], ...] = ()

    @cached_property
    def stands_for(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """For each sample the nearest chosen one, and the distance: see `Pool.stands_for`."""
        return self.pool.stands_for(self.chosen)

    @property
    def reach(self) -> tuple[float, float]:
        """Median and greatest distance of samples of the domain to the nearest chosen one."""
        far = self.stands_for[1][~self.pool.out_of_domain & ~self.pool.broken]
        return (float(np.median(far)), float(far.max())) if far.size else (0.0, 0.0)

    @property
    def out_of_domain(self) -> list[int]:
        """Positions of the samples out of domain, the farthest first."""
        positions = np.flatnonzero(self.pool.out_of_domain)
        return [int(i) for i in positions[np.argsort(-self.pool.score[positions], kind="stable")]]


def selection_csv(selection: Selection) -> str:
    """Return a header and a row for each sample of the pool, in its order.

    `chosen` is the place in the list, from 1, empty for the others; `cluster` that of the nearest
    chosen one, whose `distance` is in typical distances of neighbours; `duplicate_of` a sample's
    name, `duplicate` exact or near; `axis1` and `axis2` its place in the figure.
    """
    pool = selection.pool
    place = {int(position): number for number, position in enumerate(selection.chosen, 1)}
    nearest, apart = selection.stands_for
    keys = pool.features.keys
    head = ["sample", "chosen", "cluster", "distance", "duplicate_of", "duplicate"]
    rows: list[list[object]] = [
        [*head, "out_of_domain_score", "out_of_domain", "finite", "axis1", "axis2"]
    ]
    for i, key in enumerate(keys):
        source = int(pool.copy_of[i])
        copied = [keys[source], "exact" if pool.exact[i] else "near"] if source >= 0 else ["", ""]
        rows.append(
            [
                *(key, place.get(i, ""), place.get(int(nearest[i]), ""), float(apart[i])),
                *(
                    *copied,
                    float(pool.score[i]),
                    int(pool.out_of_domain[i]),
                    int(not pool.broken[i]),
                ),
                *(float(x) for x in _two(pool.points[i])),
            ]
        )
    return csv_lines(rows)


def _two(point: NDArray[np.float64]) -> tuple[float, float]:
    return float(point[0]), float(point[1]) if point.size > 1 else 0.0


def selection_json(selection: Selection) -> dict[str, Any]:
    """Return the numbers of the text, the list, and every step of the ranges; see docs/files.md."""
    pool, sufficiency = selection.pool, selection.sufficiency
    keys = pool.features.keys
    copies = pool.copy_of >= 0
    median, farthest = selection.reach
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "data": selection.data,
        "method": selection.method,
        "seed": selection.seed,
        "pool": len(pool),
        "wanted": selection.requested,
        "chosen": [keys[i] for i in selection.chosen.tolist()],
        "duplicates": {
            "exact": int((copies & pool.exact).sum()),
            "near": int((copies & ~pool.exact).sum()),
        },
        "out_of_domain": [
            {"sample": keys[i], "score": float(pool.score[i])} for i in selection.out_of_domain
        ],
        "not_finite": [keys[i] for i in np.flatnonzero(pool.broken)],
        "unreadable": [{"sample": k, "reason": r} for k, r in selection.unreadable],
        "distance": {"median": median, "largest": farthest},
        "sufficiency": sufficiency.facts(),
    }


def selection_text(selection: Selection) -> str:
    """Return the lines for the terminal."""
    pool, sufficiency = selection.pool, selection.sufficiency
    copies = pool.copy_of >= 0
    exact, near = int((copies & pool.exact).sum()), int((copies & ~pool.exact).sum())
    median, farthest = selection.reach
    lines = [
        f"{len(selection.chosen)} of {len(pool)} samples by {selection.method}",
        f"  duplicates     {exact} exact, {near} near; none is chosen",
        f"  out of domain  {_out_of_domain_text(selection)}",
    ]
    if pool.broken.any():
        names = [pool.features.keys[i] for i in np.flatnonzero(pool.broken)]
        lines.append(f"  not finite     {len(names)}, never chosen: '{printable(names[0])}'")
    lines.append(
        f"  coverage       samples lie {median:.1f} (median) and at most {farthest:.1f} "
        "neighbour distances from a chosen one"
    )
    lines.append(f"  ranges         {settled_text(sufficiency, of='the list')}")
    lines += [f"    {_step(step)}" for step in sufficiency.steps]
    return "\n".join(lines)


def _out_of_domain_text(selection: Selection) -> str:
    pool, outside = selection.pool, selection.out_of_domain
    if not outside:
        return "0"
    named = ", ".join(
        f"'{printable(pool.features.keys[i])}' ({pool.score[i]:.1f})" for i in outside[:MAX_NAMED]
    )
    more = f" and {len(outside) - MAX_NAMED} more" if len(outside) > MAX_NAMED else ""
    chosen_count = len(set(outside) & set(selection.chosen.tolist()))
    return f"{len(outside)}, {chosen_count} of them chosen: {named}{more}"


def _step(step: Step) -> str:
    return (
        f"{step.samples:>6}: ranges off by {100 * step.median:.1f} % (median) and "
        f"{100 * step.largest:.1f} %, noise by {step.noise_db:.2f} dB at most, "
        f"{100 * step.saturated:.3f} % of the rest clipped"
    )

"""Measure a mixed-precision search: what it finds for each limit, what else would, and what it costs.

Each case of a TOML file is a model with its samples, as of `benchmarks/targets.py`. For each limit of
the drop a row is printed: the cost of the plan that `quant search` found, of the cheapest plan that
keeps the same limit on the path of greedy raising by sensitivity (the worst group first, to the most
exact precision), on the path by gain for the cost, and of one precision for all; then what the
found plan measures on the samples that decided and on those that the search did not see.

Below: the seconds of all sensitivities by groups * precisions * float inference over the same samples
(aimed at 0.75 or less), measured noise by the predicted sum over all plans that were measured, and
with --enumerate N whether the solver's points are the optima of all assignments of N groups.
"""

__all__ = ["main"]

import sys

sys.path.append(sys.path.pop(0))  # see profile.py beside this file

import argparse
import itertools
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from targets import job_of

from quant.common.errors import QuantError
from quant.common.progress import Progress
from quant.job.search_goal import AXES, SearchGoal
from quant.run.calibrate import calibrate
from quant.search.pareto import Point, pareto
from quant.search.target_search import TargetSearch, additive_model, measured_sensitivity
from quant.search.write_files import noise_ratios

COLUMNS = (
    *("model", "target", "most drop", "unit", "found", "greedy by sensitivity", "greedy by gain"),
    *("one precision", "decided: drop, dB", "not seen: drop, dB", "plans"),
)


def cheapest(made: TargetSearch, path: Sequence[Point]) -> str:
    """Return the cost of the cheapest plan of a path that keeps the limits."""
    assert made.answers is not None
    for one in sorted(path, key=lambda p: p.cost):
        if made.space.float_only(one.chosen) or made.limits.kept(made.answers(one.chosen)):
            return f"{one.cost:.4g}"
    return "none"


def rows(case: dict[str, Any], folder: Path, flags: argparse.Namespace) -> Iterator[list[str]]:
    """Yield a row for each target and limit of a case, and lines of one cell behind them."""
    with tempfile.TemporaryDirectory() as scratch:
        for target in flags.target or ["tensorrt", "onnxruntime"]:
            made: TargetSearch | None = None
            for limit in flags.limits:
                goal = SearchGoal(
                    max_drop=limit / 100,
                    precisions=tuple(flags.precisions.split(",")) if flags.precisions else (),
                    axis=flags.cost or "",
                    samples=flags.samples,
                )
                job = job_of(case, folder, Path(scratch) / target, (target,))
                recipe = Path(flags.recipe) if flags.recipe else None
                job = replace(job, goal=goal, effort=flags.effort, layer_samples=0, recipe=recipe)
                run = calibrate(job, Progress(quiet=True))
                made = run.results[target].planned.search
                assert made is not None
                yield row(run.facts, target, limit, made)
            if made is not None:
                yield [told(made, flags)]


def row(facts: dict[str, Any], target: str, limit: float, made: TargetSearch) -> list[str]:
    """Return the cells of one limit."""
    found = facts["targets"][target]["search"]
    seen = found["held_out"]
    paths = [cheapest(made, path) for path in (made.space.greedy[1], made.space.greedy[0])]
    return [
        *(facts["model"]["name"], target, f"{limit:g} %", AXES[made.axis]),
        f"{found['cost']:.4g}" + ("" if found["kept"] else " (not kept)"),
        *(*paths, cheapest(made, made.space.uniform)),
        f"{100 * found['drop']:.2f} ± {100 * found['margin']:.2f}, {found['sqnr_db']:.1f}",
        f"{100 * seen['drop']:.2f} ± {100 * seen['margin']:.2f}, {seen['sqnr_db']:.1f}",
        str(found["asked"]),
    ]


def told(made: TargetSearch, flags: argparse.Namespace) -> str:
    """Return what the search of a target cost, and how well its model held."""
    assert made.answers is not None
    ratios = noise_ratios(made, made.answers.every)
    words = [
        f"sensitivities {ratio(made):.2f} of groups x precisions x float inference",
        (
            f"measured noise {min(ratios):.2f} to {max(ratios):.2f} of the predicted, median "
            f"{float(np.median(ratios)):.2f}, over {len(ratios)} plans"
        ),
    ]
    if flags.enumerate:
        words.append(enumerated(made, flags.enumerate))
    return f"{made.inputs.target.name}: " + "; ".join(words)


def ratio(made: TargetSearch) -> float:
    """Return the seconds of all sensitivities by groups * candidates * float inference."""
    search_inputs, groups = made.inputs, list(made.costs.groups)
    names = made.costs.precisions[: made.costs.candidates]
    with tempfile.TemporaryDirectory() as scratch:
        fresh = replace(search_inputs, folder=Path(scratch))
        start = time.perf_counter()
        measured_sensitivity(fresh, groups, names, Progress(quiet=True))
        spent = time.perf_counter() - start
    some = list(search_inputs.reference.batches)
    while sum(b.count for b in some[:-1]) >= search_inputs.goal.samples:
        some.pop()
    search_inputs.reference.session.run(None, dict(some[0].feeds))
    start = time.perf_counter()
    for batch in some:
        search_inputs.reference.session.run(None, dict(batch.feeds))
    plain = time.perf_counter() - start
    return spent / (len(groups) * len(names) * plain)


def enumerated(made: TargetSearch, most: int) -> str:
    """Return how many points of the front are the optimum of every assignment of few groups."""
    goal = replace(made.inputs.goal, groups=most)
    search_inputs = replace(made.inputs, goal=goal, folder=made.inputs.folder / "few")
    problem = additive_model(search_inputs, Progress(quiet=True)).space.problem
    free = len(problem.errors) - problem.fixed
    rest = tuple(int(k) for k in problem.errors[free:].argmin(axis=1))
    able = [
        [k for k in range(problem.errors.shape[1]) if np.isfinite(problem.errors[g, k])]
        for g in range(free)
    ]
    every = [(*chosen, *rest) for chosen in itertools.product(*able)]
    known = [(problem.error(c), problem.cost(c)) for c in every]
    front = pareto(problem)
    good = sum(
        p.error <= min(e for e, c in known if c <= p.cost * (1 + 1e-9)) * (1 + 1e-6) + 1e-15
        for p in front
    )
    return f"{good} of {len(front)} points of the front are the optimum of all {len(every)} assignments of {free} groups"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/search.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", help="TOML file with [[case]]")
    parser.add_argument("--target", action="append", help="repeat; default tensorrt, onnxruntime")
    parser.add_argument("--limits", type=float, nargs="+", default=[0.5, 1, 2], help="drops in %%")
    parser.add_argument("--precisions", help="as of quant search")
    parser.add_argument("--cost", choices=sorted(AXES), help="as of quant search")
    parser.add_argument("--recipe", help="as of quant search, for what is not searched")
    parser.add_argument("--effort", default="fast", help="default fast")
    parser.add_argument("--samples", type=int, default=64, help="for sensitivities; default 64")
    parser.add_argument("--enumerate", type=int, default=0, metavar="N", help="of N groups")
    flags = parser.parse_args()
    path = Path(flags.cases)
    try:
        cases = tomllib.loads(path.read_text(encoding="utf-8"))["case"]
        print(f"| {' | '.join(COLUMNS)} |")
        print(f"| {' | '.join('---' for _ in COLUMNS)} |")
        notes = []
        for case in cases:
            for cells in rows(case, path.parent, flags):
                if len(cells) > 1:
                    print(f"| {' | '.join(cells)} |", flush=True)
                else:
                    notes.append(f"{case['model']}, {cells[0]}")
        print("\n" + "\n".join(notes))
    except (OSError, KeyError, tomllib.TOMLDecodeError, QuantError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Effort: a ladder of steps that buy accuracy back; each is kept only if it measurably helps.

A part of the calibration samples is held aside: no step learns from it, and it alone decides. So
the plan that comes down from the ladder is never worse on it than the one that went up.
"""

__all__ = ["Climbed", "Rung", "affordable", "climb", "held_aside"]

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.compare import Samples, compare
from quant.graph import Graph
from quant.plan import Plan
from quant.profile import Profile
from quant.recipe import Recipe
from quant.simulate import open_simulation, quantize_graph
from quant.target import Target

LEAST_DB = 0.05
"""A step that buys less is not kept: it would not show on other samples."""

ASIDE = 64
"""Samples held aside at most; a quarter of them where there are fewer than four times as many."""

ENOUGH = 8
"""Samples under which there is nothing to hold aside, and nothing is tried."""

MOST = 256
"""Samples that steps see at most; more change little and cost as much again."""

ROOM = 512 * 2**20
"""Bytes that one activation of all these samples may take: some four are in memory at a time."""

Feeds = Mapping[str, NDArray[Any]]
Change = Callable[[Graph, Plan], tuple[Graph, Plan] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of the ladder.

    Attributes:
        step: Its name.
        sqnr_db: SQNR of the worst output on the samples held aside, with the step, in dB.
        kept: Whether the plan has it.
    """

    step: str
    sqnr_db: float
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Climbed:
    """What the ladder led to.

    Attributes:
        graph: The graph that the plan is about: the prepared one, or with other weights.
        plan: The best that was measured.
        rungs: Every step in the order it was tried, "fast" first.
    """

    graph: Graph
    plan: Plan
    rungs: tuple[Rung, ...] = ()


def affordable(profile: Profile) -> int:
    """Return how many samples steps may hold in memory with their activations."""
    most = max((t.count for t in profile.tensors.values()), default=0)
    each = 4 * most / max(profile.provenance.samples, 1)
    return max(1, min(MOST, int(ROOM / max(each, 1))))


def held_aside(samples: Sequence[Samples]) -> tuple[list[Samples], list[Samples]]:
    """Return the batches that steps learn from, and those that decide: the last ones.

    Both are empty where there are fewer than 8 samples or 2 batches.
    """
    count = sum(b.count for b in samples)
    wanted = min(ASIDE, count // 4)
    taken = 0
    for position in range(len(samples) - 1, 0, -1):
        taken += samples[position].count
        if count >= ENOUGH and taken >= wanted:
            return list(samples[:position]), list(samples[position:])
    return [], []


def climb(
    effort: str,
    graph: Graph,
    plan: Plan,
    target: Target,
    recipe: Recipe,
    samples: Sequence[Samples],
    plain: Any,
    *,
    threads: int = 0,
    keep: Callable[[Graph, Plan], None] | None = None,
) -> Climbed:
    """Return the best plan that the effort allows.

    "fast" returns the plan as it is. "balanced" corrects biases and fits integers, layer by layer,
    to what reaches each layer. "best" also looks for better ranges of activations by the error at
    the network's outputs, and fits again behind them.

    Args:
        effort: "fast", "balanced" or "best".
        graph: The prepared graph.
        plan: Its plan, as "fast" has it.
        target: The table.
        recipe: The target's rules.
        samples: Calibration samples in memory.
        plain: ONNX Runtime session of the prepared graph.
        threads: Threads inside one operator; 0 for all cores.
        keep: Called with each graph and plan that is better than all before: to write it.
    """
    learnt, aside = held_aside(samples)
    if effort == "fast" or not aside:
        return Climbed(graph=graph, plan=plan)
    ladder = _Ladder(target, plain, aside, threads, keep)
    best = Climbed(
        graph=graph,
        plan=plan,
        rungs=(Rung(step="fast", sqnr_db=ladder.db(graph, plan), kept=True),),
    )
    for name, change in _steps(
        effort, graph, target, recipe.of(target.name), learnt, plain, threads
    ):
        best = ladder.try_one(best, name, change)
    return best


@dataclass(frozen=True, slots=True)
class _Ladder:
    target: Target
    plain: Any
    aside: Sequence[Samples]
    threads: int
    keep: Callable[[Graph, Plan], None] | None

    def db(self, graph: Graph, plan: Plan) -> float:
        """Return the SQNR of the worst output on the samples held aside."""
        model = quantize_graph(graph, plan, self.target, weight_form="integer")
        session = open_simulation(model, self.threads)
        return compare(self.plain, {"": session}, self.aside)[""].sqnr_db

    def try_one(self, best: Climbed, name: str, change: Change) -> Climbed:
        """Return the better one of the best so far and what a step makes of it."""
        made = change(best.graph, best.plan)
        if made is None:
            return best
        found = self.db(*made)
        top = max(r.sqnr_db for r in best.rungs if r.kept)
        better = found >= top + LEAST_DB
        rungs = (*best.rungs, Rung(step=name, sqnr_db=found, kept=better))
        if not better:
            return Climbed(graph=best.graph, plan=best.plan, rungs=rungs)
        if self.keep is not None:
            self.keep(*made)
        return Climbed(graph=made[0], plan=made[1], rungs=rungs)


def _steps(
    effort: str,
    graph: Graph,
    target: Target,
    recipe: Recipe,
    learnt: Sequence[Samples],
    plain: Any,
    threads: int,
) -> Iterator[tuple[str, Change]]:
    """Yield each step's name and what it does, cheapest first; every one starts from the best."""
    feeds = _joined(learnt)

    def bias(_: Graph, plan: Plan) -> tuple[Graph, Plan]:
        return _fit(graph, plan, feeds, recipe, rounding=False)

    def rounding(_: Graph, plan: Plan) -> tuple[Graph, Plan]:
        return _fit(graph, _about(plan, graph), feeds, recipe, rounding=True)

    if effort == "best":
        yield "bias correction in sequence", bias
    yield "fitted integers", rounding


def _about(plan: Plan, graph: Graph) -> Plan:
    """Return the plan's grids as a plan of the prepared graph."""
    return replace(plan, graph=graph.fingerprint)


def _fit(
    graph: Graph, plan: Plan, feeds: Feeds, recipe: Recipe, *, rounding: bool
) -> tuple[Graph, Plan]:
    from quant.improve_layers import fit_layers  # here, for it imports torch

    return fit_layers(graph, plan, feeds, recipe, rounding=rounding)


def _joined(samples: Sequence[Samples]) -> Feeds:
    """Return the samples of all batches as one, without padding."""
    names = list(samples[0].feeds)
    return {name: np.concatenate([_rows(b, name) for b in samples]) for name in names}


def _rows(batch: Samples, name: str) -> NDArray[Any]:
    array = batch.feeds[name]
    return array[: batch.count] if len(array) > batch.count else array

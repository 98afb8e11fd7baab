"""Effort: a ladder of steps that buy accuracy back; each is kept only if it measurably helps.

A part of the calibration samples is held aside: no step learns from it, and it alone decides. So
the plan that comes down from the ladder is never worse on it than the one that went up.
"""

__all__ = [
    "LadderInputs",
    "LadderState",
    "Rung",
    "affordable",
    "held_aside",
    "recover_accuracy",
]

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.compare.batch import Batch, joined_feeds
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_simulation
from quant.improve.equalize import equalize
from quant.improve.held_out import HeldOutSqnr
from quant.improve.input_grid import on_input_grid
from quant.improve.mirror_images import with_mirror_images
from quant.improve.range_search import search_ranges
from quant.improve.smooth_quant import kept_where_same, sites, smooth
from quant.plan.recipe import Recipe
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import Target

LEAST_DB = 0.05
"""A step that buys less is not kept: it would not show on other samples."""

ASIDE = 64
"""Batch held aside at most; a quarter of them where there are fewer than four times as many."""

ENOUGH = 8
"""Batch under which there is nothing to hold aside, and nothing is tried."""

MOST = 256
"""Batch that steps see at most; more change little and cost as much again."""

SEARCHED = 64
"""Batch on which ranges are searched: the network runs over them some hundred times."""

ROOM = 512 * 2**20
"""Bytes that one activation of all these samples may take: some four are in memory at a time."""

SMOOTHED = {"smoothed": False, "smoothed between layers": True}
"""Steps, and whether the channels that layers make are smoothed, too."""

PIXELS, FITTED, MIRRORED = "whole pixels", "fitted integers", "fitted with mirror images"
AGAIN, EQUALIZED, LEARNED = "fitted again", "equalized and fitted", "learned rounding"
ALL = "the same on all samples"

Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of the ladder.

    Attributes:
        step: Its name.
        sqnr_db: Mean SQNR in dB of a sample held aside, at the worst output, with the step.
        kept: Whether the plan has it.
        judged: False where the samples held aside have taught the step too: its SQNR flatters.
    """

    step: str
    sqnr_db: float
    kept: bool
    judged: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderState:
    """What the ladder led to.

    Attributes:
        base: The prepared graph, or one that computes the same float function with other numbers.
        rough: The plan of `base` as an observer and nearest rounding make it.
        graph: The graph that `plan` is about: `base`, or with weights and biases fitted to the plan.
        plan: The best that was measured.
        rungs: Every step in the order it was tried, "fast" first.
    """

    base: Graph
    rough: Plan
    graph: Graph
    plan: Plan
    rungs: tuple[Rung, ...] = ()


Step = Callable[[LadderState], LadderState | None]
"""From the best so far to what a step makes of it; None where there is nothing to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderInputs:
    """What a ladder stands on.

    Attributes:
        target: The table.
        recipe: The target's rules.
        profile: Of the prepared graph.
        samples: Calibration samples in memory.
        plain: ONNX Runtime session of the prepared graph.
        pixels: float64 `[2, C]`, mean and std in 0..255 units; None where inputs are no pictures.
        choose: Makes the rough plan of a graph from its profile.
        watch: Makes the profile of a graph on some samples.
        keep: Called with each better graph and plan as it is found: to write it.
        threads: Threads inside one operator; 0 for all cores.
    """

    target: Target
    recipe: Recipe
    profile: Profile
    samples: Sequence[Batch]
    plain: Any
    pixels: NDArray[np.float64] | None
    choose: Callable[[Graph, Profile], Plan]
    watch: Callable[[Graph, Sequence[Batch]], Profile]
    keep: Callable[[LadderState], None] | None = None
    threads: int = 0


def affordable(profile: Profile) -> int:
    """Return how many samples steps may hold in memory with their activations."""
    most = max((t.count for t in profile.tensors.values()), default=0)
    each = 4 * most / max(profile.provenance.samples, 1)
    return max(1, min(MOST, int(ROOM / max(each, 1))))


def held_aside(samples: Sequence[Batch]) -> tuple[list[Batch], list[Batch]]:
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


def recover_accuracy(effort: str, graph: Graph, plan: Plan, ground: LadderInputs) -> LadderState:
    """Return the best plan that the effort allows.

    "fast" returns the plan as it is. "balanced" smooths the channels behind normalizations, puts
    the input on whole pixels and fits integers and biases, layer by layer, to what reaches each
    layer; it tries the same on channels that were equalized, where that is exact. "best" also looks
    for better ranges of activations by the error at the network's outputs and fits again behind
    them, and equalizes behind a Clip too. Rounding is learned block by block by "best", and by
    "balanced" where weights have less than 8 bits; both then try mirror images too where pictures
    are few, and in the end fit once more on all samples.

    Args:
        effort: "fast", "balanced" or "best".
        graph: The prepared graph.
        plan: Its plan, as "fast" has it.
        ground: The rest.
    """
    learnt, aside = held_aside(ground.samples)
    best = LadderState(base=graph, rough=plan, graph=graph, plan=plan)
    if effort == "fast" or not aside:
        return best
    judge = HeldOutSqnr(ground.plain, aside)
    first = Rung(step="fast", sqnr_db=_db(best, ground, judge), kept=True)
    best = replace(best, rungs=(first,))
    for name, linear in SMOOTHED.items():
        best = _try(
            best,
            name,
            partial(_smoothed, ground=ground, learnt=learnt, linear=linear),
            ground,
            judge,
        )
    for name, step in _steps(effort, best, ground, learnt):
        best = _try(best, name, step, ground, judge)
    if _hard(effort, best, ground):
        return _try(best, ALL, partial(_on_all, ground=ground), ground, judge)
    return best


def _hard(effort: str, start: LadderState, ground: LadderInputs) -> bool:
    """Tell whether a plan is worth the steps that take minutes."""
    return effort == "best" or _worth_learning(start, ground.recipe.of(ground.target.name))


def _on_all(state: LadderState, ground: LadderInputs) -> LadderState | None:
    """Fit again on all samples, those that have decided too: which steps help is known by now.

    The error on the samples held aside is no judge of this any more, only a guard: it must fall.
    """
    kept = {rung.step for rung in state.rungs if rung.kept}
    if not kept & {FITTED, MIRRORED, AGAIN, EQUALIZED}:
        return None
    recipe = ground.recipe.of(ground.target.name)
    feeds = joined_feeds(ground.samples)
    if MIRRORED in kept:
        feeds = with_mirror_images(feeds, 2 * affordable(ground.profile)) or feeds
    made = _fitted(state, ground, feeds, recipe, rounding=True)
    if made is not None and LEARNED in kept:
        made = _learned(made, ground, feeds, recipe) or made
    return made


def _db(state: LadderState, ground: LadderInputs, judge: HeldOutSqnr) -> float:
    """Return the mean SQNR of a sample held aside."""
    model = quantize_graph(state.graph, state.plan, ground.target, weight_form="integer")
    return judge.db(open_simulation(model, ground.threads))


def _try(
    best: LadderState, name: str, step: Step, ground: LadderInputs, judge: HeldOutSqnr
) -> LadderState:
    """Return the better one of the best so far and what a step makes of it."""
    made = step(best)
    if made is None:
        return best
    found = _db(made, ground, judge)
    top = max(r.sqnr_db for r in best.rungs if r.kept)
    better = found >= top + LEAST_DB
    rung = Rung(step=name, sqnr_db=found, kept=better, judged=name != ALL)
    rungs = (*best.rungs, rung)
    if not better:
        return replace(best, rungs=rungs)
    made = replace(made, rungs=rungs)
    if ground.keep is not None:
        ground.keep(made)
    return made


def _steps(
    effort: str, start: LadderState, ground: LadderInputs, learnt: Sequence[Batch]
) -> Iterator[tuple[str, Step]]:
    """Yield each step's name and what it does, cheapest first."""
    plain, recipe = joined_feeds(learnt), ground.recipe.of(ground.target.name)
    hard = _hard(effort, start, ground)
    more = (
        with_mirror_images(plain, 2 * affordable(ground.profile))
        if hard and ground.pixels is not None
        else None
    )

    def feeds(state: LadderState) -> Feeds:
        helped = any(r.kept and r.step == MIRRORED for r in state.rungs)
        return more if more is not None and helped else plain

    yield PIXELS, lambda s: _pixels(s, ground, recipe)
    if effort == "best":
        yield "biases in sequence", lambda s: _fitted(s, ground, plain, recipe, rounding=False)
    yield FITTED, lambda s: _fitted(s, ground, plain, recipe, rounding=True)
    if more is not None:
        yield MIRRORED, lambda s: _fitted(s, ground, more, recipe, rounding=True)
    if effort == "best":
        yield "ranges", lambda s: _ranged(s, ground, learnt, recipe)
        yield AGAIN, lambda s: _fitted(s, ground, feeds(s), recipe, rounding=True)
    clips = effort == "best"
    yield (
        EQUALIZED,
        lambda s: _equalized(s, start.base, ground, learnt, feeds(s), clips),
    )
    if hard:
        yield LEARNED, lambda s: _learned(s, ground, feeds(s), recipe)


def _smoothed(
    state: LadderState, ground: LadderInputs, learnt: Sequence[Batch], linear: bool
) -> LadderState | None:
    """Hand the range of large channels to the weights; the graph has a profile and plan of its own."""
    if ground.target.grid_per_group:
        return None  # a logarithmic grid has its steps near zero anyway
    off = _switched_off(state.base, ground, "smoothing")
    args = (state.base, state.rough, ground.target, learnt, off)
    graph = smooth(*args, linear=linear, threads=ground.threads)
    if graph is None:
        return None
    moved = {n for site in sites(state.base, linear=linear) for n in site.route.passed}
    new = ground.choose(graph, ground.watch(graph, learnt))
    plan = kept_where_same(state.base, state.rough, graph, new, moved)
    return replace(state, base=graph, rough=plan, graph=graph, plan=plan)


def _switched_off(graph: Graph, ground: LadderInputs, what: str) -> set[str]:
    """Return the names of nodes for which the recipe says that a step is off."""
    recipe = ground.recipe.of(ground.target.name)
    named = [(str(n.name), n.op_type) for n in graph.nodes]
    return {name for name, op in named if recipe.wants(name, op, what) == "off"}


def _equalized(
    state: LadderState,
    start: Graph,
    ground: LadderInputs,
    learnt: Sequence[Batch],
    feeds: Feeds,
    clips: bool,
) -> LadderState | None:
    """Begin again from the equalized graph: it needs a profile and a plan of its own."""
    if ground.target.grid_per_group:
        return None
    recipe = ground.recipe.of(ground.target.name)
    off = _switched_off(start, ground, "equalization")
    graph = equalize(start, ground.profile, off, clips=clips)
    if graph is None:
        return None
    plan = ground.choose(graph, ground.watch(graph, learnt))
    made = replace(state, base=graph, rough=plan, graph=graph, plan=plan)
    if any(r.kept and r.step == PIXELS for r in state.rungs):
        made = _pixels(made, ground, recipe) or made
    return _fitted(made, ground, feeds, recipe, rounding=True)


def _pixels(state: LadderState, ground: LadderInputs, recipe: Recipe) -> LadderState | None:
    name = str(state.base.inputs[0].name)
    if ground.pixels is None or ground.target.no_float_unit:
        return None  # a chip without a float unit takes the pixels in by itself
    if recipe.wants(name, "Input", "pixel_grid") == "off":
        return None
    made = on_input_grid(state.base, state.rough, ground.pixels)
    if made is None:
        return None
    return replace(state, base=made[0], rough=made[1], graph=made[0], plan=made[1])


def _fitted(
    state: LadderState, ground: LadderInputs, feeds: Feeds, recipe: Recipe, *, rounding: bool
) -> LadderState | None:
    from quant.improve.fit.layer_fit import ROWS, fit_layers  # here, for it imports torch

    doubled = len(next(iter(feeds.values()))) > sum(b.count for b in ground.samples)
    graph, plan = fit_layers(
        state.base,
        state.rough,
        feeds,
        recipe,
        rounding=rounding,
        threads=ground.threads,
        rows=2 * ROWS if doubled else ROWS,  # as many of each picture
    )
    if graph.fingerprint == state.graph.fingerprint:
        return None
    return replace(state, graph=graph, plan=plan)


def _worth_learning(state: LadderState, recipe: Recipe) -> bool:
    from quant.improve.rounding.reconstruct import worth_learning  # here, for it imports torch

    return worth_learning(state.graph, state.plan, recipe)


def _learned(
    state: LadderState, ground: LadderInputs, feeds: Feeds, recipe: Recipe
) -> LadderState | None:
    from quant.improve.rounding.reconstruct import reconstruct  # here, for it imports torch

    graph, plan = reconstruct(
        state.base, state.graph, state.plan, feeds, recipe, threads=ground.threads
    )
    if graph.fingerprint == state.graph.fingerprint:
        return None
    return replace(state, graph=graph, plan=plan)


def _ranged(
    state: LadderState, ground: LadderInputs, learnt: Sequence[Batch], recipe: Recipe
) -> LadderState | None:
    """Search ranges in the fitted network, and put them into the rough plan too."""
    some, count = [], 0
    for batch in learnt:
        if count < SEARCHED:
            some.append(batch)
            count += batch.count
    fixed = {
        str(v.name)
        for n in state.base.nodes
        for v in n.outputs
        if recipe.wants(str(n.name), n.op_type, "range_search") == "off"
    }
    args = (ground.target, some, ground.plain, ground.threads, fixed)
    plan = search_ranges(state.graph, state.plan, *args)
    if plan is None:
        return None
    found = {k: t for k, t in plan.tensors.items() if t.kind == "activation"}
    rough = replace(state.rough, tensors={**state.rough.tensors, **found})
    return replace(state, rough=rough, plan=plan)

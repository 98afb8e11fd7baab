"""Steps that recover accuracy after quantization; each is kept only if held-out samples gain.

A part of the calibration samples is held out: no step learns from it, and it alone decides. So the
plan that the ladder ends with is never worse on it than the one that it began with.
"""

__all__ = [
    "LadderInputs",
    "LadderState",
    "Rung",
    "affordable_samples",
    "recover_accuracy",
    "split_held_out",
]

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.choose.planner import Planner
from quant.compare.batch import Batch, joined_feeds
from quant.compare.float_reference import FloatReference
from quant.graph.prepared_graph import Graph
from quant.improve.equalize import equalize
from quant.improve.fit.settings import ROWS, FitSettings
from quant.improve.held_out import HeldOutSqnr
from quant.improve.input_grid import on_input_grid
from quant.improve.mirror_images import with_mirror_images
from quant.improve.range_search import search_ranges
from quant.improve.smooth_quant import kept_where_same, sites, smooth
from quant.plan.recipe import Recipe
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.simulate.open_plan import open_plan
from quant.target.table import Target

LEAST_GAIN_DB = 0.05
"""A step that gains less is not kept: it would not show on other samples."""

MAX_HELD_OUT = 64
"""Samples held out at most; a quarter of them where there are fewer than four times as many."""

MIN_SAMPLES = 8
"""With fewer samples nothing can be held out, and no step is tried."""

MAX_SAMPLES = 256
"""Samples that steps learn from at most; more change little and cost as much again."""

RANGE_SAMPLES = 64
"""Samples on which ranges are searched: the network runs over them some hundred times."""

MEMORY_BYTES = 512 * 2**20
"""What one activation of all these samples may take: some four are in memory at a time."""

SMOOTHED = {"smoothed": False, "smoothed between layers": True}
"""SmoothQuant's two steps, and whether a step also smooths the channels that layers make."""

INPUT_GRID, FITTED, MIRRORED = "whole pixels", "fitted integers", "fitted with mirror images"
AGAIN, EQUALIZED, LEARNED = "fitted again", "equalized and fitted", "learned rounding"
ON_ALL = "the same on all samples"

Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of the ladder.

    Attributes:
        step: Its name.
        sqnr_db: Mean SQNR in dB of a held-out sample, at the worst output, with the step.
        kept: Whether the plan has it.
        judged: False where the step also learned from the held-out samples: its SQNR flatters.
    """

    step: str
    sqnr_db: float
    kept: bool
    judged: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderState:
    """The best plan so far, and the steps that were tried.

    Attributes:
        base: The prepared graph, or one that computes the same float function with other numbers.
        nearest_plan: The plan of `base` with an observer's ranges and nearest rounding.
        graph: The graph that `plan` is about: `base`, or with weights and biases fitted to the plan.
        plan: The best plan that was measured.
        rungs: Every step in the order in which it was tried, "fast" first.
    """

    base: Graph
    nearest_plan: Plan
    graph: Graph
    plan: Plan
    rungs: tuple[Rung, ...] = ()

    @property
    def improved(self) -> bool:
        """Whether the last step that was tried made this plan."""
        return len(self.rungs) > 1 and self.rungs[-1].kept


Step = Callable[[LadderState], LadderState | None]
"""From the best so far to what a step makes of it; None where there is nothing to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderInputs:
    """What the steps need besides the plan that they improve.

    Attributes:
        planner: Makes the plan of a graph with nearest rounding, by the target's rules.
        profile: Of the prepared graph.
        reference: Float session and calibration batches, from which the held-out ones are taken.
        pixels: float64 `[2, C]`, mean and std in 0..255 units; None where inputs are no images.
        profile_again: Makes the profile of an edited graph on some batches.
    """

    planner: Planner
    profile: Profile
    reference: FloatReference
    pixels: NDArray[np.float64] | None
    profile_again: Callable[[Graph, Sequence[Batch]], Profile]


def affordable_samples(profile: Profile) -> int:
    """Return how many samples steps may hold in memory with their activations."""
    largest = max((t.count for t in profile.tensors.values()), default=0)
    bytes_of_sample = 4 * largest / max(profile.provenance.samples, 1)
    return max(1, min(MAX_SAMPLES, int(MEMORY_BYTES / max(bytes_of_sample, 1))))


def split_held_out(batches: Sequence[Batch]) -> tuple[list[Batch], list[Batch]]:
    """Return the batches that steps learn from, and the held-out ones that decide: the last ones.

    Both are empty where there are fewer than 8 samples or 2 batches.
    """
    count = sum(b.count for b in batches)
    least = min(MAX_HELD_OUT, count // 4)
    held_out = 0
    for position in range(len(batches) - 1, 0, -1):
        held_out += batches[position].count
        if count >= MIN_SAMPLES and held_out >= least:
            return list(batches[:position]), list(batches[position:])
    return [], []


def recover_accuracy(
    effort: str, graph: Graph, plan: Plan, inputs: LadderInputs
) -> Iterator[LadderState]:
    """Yield the best state after every step that was tried; the last one has the best plan.

    "fast" tries nothing. "balanced" smooths the channels behind normalizations, puts the input on
    whole pixels and fits integers and biases, layer by layer, to what reaches each layer; it tries
    the same on channels that were equalized, where that is exact. "best" also looks for better
    ranges of activations by the error at the network's outputs and fits again behind them, and
    equalizes behind a Clip too. Rounding is learned block by block by "best", and by "balanced"
    where weights have less than 8 bits; both then also try mirror images where images are few, and
    in the end fit once more on all samples.

    Args:
        effort: "fast", "balanced" or "best".
        graph: The prepared graph.
        plan: Its plan, as "fast" has it.
        inputs: Planner, profile, batches and float session.
    """
    best = LadderState(base=graph, nearest_plan=plan, graph=graph, plan=plan)
    fit_batches, held_out = split_held_out(inputs.reference.batches)
    if effort == "fast" or not held_out:
        yield best
        return
    ladder = _Ladder(inputs, effort, fit_batches, held_out)
    ladder.start(best)
    yield ladder.best
    for name, step in ladder.every_step():
        if ladder.tried(name, step):
            yield ladder.best


class _Ladder:
    """The steps of one run, and the best state so far.

    Args:
        inputs: What the steps need.
        effort: "balanced" or "best".
        fit_batches: Calibration samples that steps learn from.
        held_out: Those that decide.
    """

    best: LadderState

    def __init__(
        self,
        inputs: LadderInputs,
        effort: str,
        fit_batches: Sequence[Batch],
        held_out: Sequence[Batch],
    ) -> None:
        self._inputs, self._effort, self._fit_batches = inputs, effort, fit_batches
        self._score = HeldOutSqnr(inputs.reference.session, held_out)
        self._target: Target = inputs.planner.target
        self._recipe: Recipe = inputs.planner.recipe.of(self._target.name)
        self._threads = inputs.reference.threads

    @cached_property
    def _fit_feeds(self) -> Feeds:
        return joined_feeds(self._fit_batches)

    def _sqnr_db(self, state: LadderState) -> float:
        """Return the mean SQNR in dB of a held-out sample."""
        return self._score.db(open_plan(state.graph, state.plan, self._target, self._threads))

    def start(self, state: LadderState) -> None:
        """Begin with a state that every step is compared with."""
        rung = Rung(step="fast", sqnr_db=self._sqnr_db(state), kept=True)
        self.best = replace(state, rungs=(rung,))

    def tried(self, name: str, step: Step) -> bool:
        """Keep what a step makes of the best so far if it is better; False if it makes nothing."""
        result = step(self.best)
        if result is None:
            return False
        sqnr_db = self._sqnr_db(result)
        top = max(r.sqnr_db for r in self.best.rungs if r.kept)
        kept = sqnr_db >= top + LEAST_GAIN_DB
        rung = Rung(step=name, sqnr_db=sqnr_db, kept=kept, judged=name != ON_ALL)
        self.best = replace(result if kept else self.best, rungs=(*self.best.rungs, rung))
        return True

    def _worth_minutes(self, state: LadderState) -> bool:
        """Return whether a plan is worth the steps that take minutes."""
        from quant.improve.rounding.reconstruct import worth_learning  # here, for it imports torch

        return self._effort == "best" or worth_learning(state.graph, state.plan, self._recipe)

    def every_step(self) -> Iterator[tuple[str, Step]]:
        """Yield each step's name and what it does, by the best state at that moment."""
        for name, between_layers in SMOOTHED.items():
            yield name, self._smoothing(between_layers)
        yield from self._steps(self.best)
        if self._worth_minutes(self.best):
            yield ON_ALL, self._on_all_samples

    def _steps(self, start: LadderState) -> Iterator[tuple[str, Step]]:
        """Yield the steps behind SmoothQuant, cheapest first."""
        best_effort, feeds = self._effort == "best", self._fit_feeds
        slow = self._worth_minutes(start)
        mirrored = self._with_mirror_images(feeds) if slow and self._has_images else None

        def feeds_of(state: LadderState) -> Feeds:
            helped = any(r.kept and r.step == MIRRORED for r in state.rungs)
            return mirrored if mirrored is not None and helped else feeds

        yield INPUT_GRID, self._on_input_grid
        if best_effort:
            yield "biases in sequence", lambda s: self._fitted(s, feeds, rounding=False)
        yield FITTED, lambda s: self._fitted(s, feeds)
        if mirrored is not None:
            yield MIRRORED, lambda s: self._fitted(s, mirrored)
        if best_effort:
            yield "ranges", self._with_searched_ranges
            yield AGAIN, lambda s: self._fitted(s, feeds_of(s))
        yield EQUALIZED, lambda s: self._equalized(s, start.base, feeds_of(s))
        if slow:
            yield LEARNED, lambda s: self._learned(s, feeds_of(s))

    def _smoothing(self, between_layers: bool) -> Step:
        """Return SmoothQuant's step: large channels hand their range to the weights behind them."""

        def step(state: LadderState) -> LadderState | None:
            if self._target.grid_per_group:
                return None  # a logarithmic grid has its steps near zero anyway
            off = self._switched_off(state.base, "smoothing")
            reference = replace(self._inputs.reference, batches=self._fit_batches)
            places = sites(state.base, linear=between_layers, off=off)
            graph = smooth(state.base, state.nearest_plan, self._target, reference, places)
            if graph is None:
                return None
            every = sites(state.base, linear=between_layers)
            changed = {name for site in every for name in site.route.passed}
            fresh = self._plan_of(graph)
            plan = kept_where_same(state.base, state.nearest_plan, graph, fresh, changed)
            return replace(state, base=graph, nearest_plan=plan, graph=graph, plan=plan)

        return step

    def _on_all_samples(self, state: LadderState) -> LadderState | None:
        """Fit again on all samples, the held-out ones too: which steps help is known by now.

        The error on the held-out samples is no judge of this any more, only a guard: it must fall.
        """
        kept = {rung.step for rung in state.rungs if rung.kept}
        if not kept & {FITTED, MIRRORED, AGAIN, EQUALIZED}:
            return None
        feeds: Feeds = joined_feeds(self._inputs.reference.batches)
        if MIRRORED in kept:
            feeds = self._with_mirror_images(feeds) or feeds
        result = self._fitted(state, feeds)
        if result is not None and LEARNED in kept:
            result = self._learned(result, feeds) or result
        return result

    @property
    def _has_images(self) -> bool:
        return self._inputs.pixels is not None

    def _with_mirror_images(self, feeds: Feeds) -> Feeds | None:
        return with_mirror_images(feeds, 2 * affordable_samples(self._inputs.profile))

    def _plan_of(self, graph: Graph) -> Plan:
        """Return the plan of an edited graph, from a profile of its own on the fit samples."""
        profile = self._inputs.profile_again(graph, self._fit_batches)
        return self._inputs.planner.plan(graph, profile)

    def _switched_off(self, graph: Graph, step: str) -> set[str]:
        """Return the names of nodes for which the recipe says that a step is off."""
        named = [(str(n.name), n.op_type) for n in graph.nodes]
        return {name for name, op in named if self._recipe.wants(name, op, step) == "off"}

    def _equalized(self, state: LadderState, start: Graph, feeds: Feeds) -> LadderState | None:
        """Begin again from the equalized graph: it needs a profile and a plan of its own."""
        if self._target.grid_per_group:
            return None
        off = self._switched_off(start, "equalization")
        graph = equalize(start, self._inputs.profile, off, clips=self._effort == "best")
        if graph is None:
            return None
        plan = self._plan_of(graph)
        result = replace(state, base=graph, nearest_plan=plan, graph=graph, plan=plan)
        if any(r.kept and r.step == INPUT_GRID for r in state.rungs):
            result = self._on_input_grid(result) or result
        return self._fitted(result, feeds)

    def _on_input_grid(self, state: LadderState) -> LadderState | None:
        """Put the input's grid on whole pixels, where the input is an image."""
        pixels = self._inputs.pixels
        if pixels is None or self._target.no_float_unit:
            return None  # a chip without a float unit takes the pixels in by itself
        if self._recipe.wants(str(state.base.inputs[0].name), "Input", "pixel_grid") == "off":
            return None
        result = on_input_grid(state.base, state.nearest_plan, pixels)
        if result is None:
            return None
        graph, plan = result
        return replace(state, base=graph, nearest_plan=plan, graph=graph, plan=plan)

    def _fitted(
        self, state: LadderState, feeds: Feeds, *, rounding: bool = True
    ) -> LadderState | None:
        """Fit biases, and with `rounding` integers too, to what reaches each layer."""
        from quant.improve.fit.layer_fit import fit_layers  # here, for it imports torch

        samples = sum(b.count for b in self._inputs.reference.batches)
        doubled = len(next(iter(feeds.values()))) > samples
        settings = FitSettings(
            recipe=self._recipe,
            rounding=rounding,
            threads=self._threads,
            rows=2 * ROWS if doubled else ROWS,  # as many of each image
        )
        graph, plan = fit_layers(state.base, state.nearest_plan, feeds, settings)
        if graph.fingerprint == state.graph.fingerprint:
            return None
        return replace(state, graph=graph, plan=plan)

    def _learned(self, state: LadderState, feeds: Feeds) -> LadderState | None:
        """Learn the rounding of weights block by block."""
        from quant.improve.rounding.reconstruct import reconstruct  # here, for it imports torch

        settings = FitSettings(recipe=self._recipe, threads=self._threads)
        graph, plan = reconstruct(state.base, state.graph, state.plan, feeds, settings)
        if graph.fingerprint == state.graph.fingerprint:
            return None
        return replace(state, graph=graph, plan=plan)

    def _with_searched_ranges(self, state: LadderState) -> LadderState | None:
        """Search ranges in the fitted network, and put them into the plan with nearest rounding."""
        batches, count = [], 0
        for batch in self._fit_batches:
            if count < RANGE_SAMPLES:
                batches.append(batch)
                count += batch.count
        fixed = {
            str(v.name)
            for n in state.base.nodes
            for v in n.outputs
            if self._recipe.wants(str(n.name), n.op_type, "range_search") == "off"
        }
        reference = replace(self._inputs.reference, batches=batches)
        plan = search_ranges(state.graph, state.plan, self._target, reference, fixed)
        if plan is None:
            return None
        ranges = {k: t for k, t in plan.tensors.items() if t.kind == "activation"}
        tensors = {**state.nearest_plan.tensors, **ranges}
        nearest_plan = replace(state.nearest_plan, tensors=tensors)
        return replace(state, nearest_plan=nearest_plan, plan=plan)

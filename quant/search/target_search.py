"""The search for mixed precision on one target, from sensitivities to the recipe of the best plan."""

__all__ = [
    "SearchInputs",
    "TargetSearch",
    "additive_model",
    "measured_sensitivity",
    "search_target",
]

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quant.choose.planner import Planner, usable_tensors
from quant.choose.precisions import precisions
from quant.common.errors import InputError
from quant.common.fingerprint import digest
from quant.common.progress import Progress
from quant.compare.batch import Batch, joined_feeds
from quant.compare.comparison import compare
from quant.compare.float_reference import FloatReference
from quant.cost.layer_costs import CostTable
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph
from quant.improve.fit.settings import FitSettings
from quant.job.search_goal import AXES, SearchGoal
from quant.metrics.metric import Metric
from quant.plan.file import plan_text
from quant.plan.recipe import Recipe
from quant.plan.tensor_plans import LayerPlan, Plan
from quant.profile.statistics import Profile
from quant.search.assignment import with_assignment
from quant.search.bisection import (
    BestPlan,
    SearchBudget,
    SearchSpace,
    find_cheapest,
    most_measured,
    space_of,
)
from quant.search.group_costs import Costs, costs_of
from quant.search.group_errors import GroupErrorsFile
from quant.search.groups import Group, groups_of, merged, shared_tensors
from quant.search.knapsack import Assignment
from quant.search.measured_plans import MeasuredPlans, PlanLimits, PlanScore
from quant.search.sensitivity import (
    QuantizedGroups,
    Sensitivity,
    group_errors,
    sensitivity_of,
)
from quant.simulate.open_plan import open_plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import Target

DEFAULT_DROP, DEFAULT_SQNR_DB = 0.01, 20.0
"""The limits where the goal names none: one point of the metric, or 1 % of noise power."""


@dataclass(frozen=True, kw_only=True)
class SearchInputs:
    """What a search for mixed precision on one target needs.

    Attributes:
        graph: The prepared graph.
        profile: Of it.
        planner: Of the target; layers whose precision its recipe decides keep it.
        effort: "fast" for plans with nearest rounding; else integers are fitted to the batches, as
            they will be in the plan that is written.
        table: What layers cost.
        goal: How accurate or cheap the plan must be.
        reference: Float session and the batches that decide.
        metrics: The first one is limited by `max_drop`.
        folder: Where the search keeps what it has measured.
    """

    graph: Graph
    profile: Profile
    planner: Planner
    effort: str
    table: CostTable
    goal: SearchGoal
    reference: FloatReference
    metrics: Sequence[Metric]
    folder: Path

    @property
    def target(self) -> Target:
        """The table of the target."""
        return self.planner.target

    @cached_property
    def _feeds(self) -> Mapping[str, NDArray[Any]]:
        return joined_feeds(self.reference.batches)

    def nearest_plan(self, recipe: Recipe) -> Plan:
        """Return the plan of a recipe with nearest rounding; it may have no integers at all."""
        planner = replace(self.planner, recipe=recipe)
        return planner.plan(self.graph, self.profile, all_float=True)

    def plan(self, recipe: Recipe) -> tuple[Graph, Plan]:
        """Return the graph and plan of a recipe, as they would be written."""
        plan = self.nearest_plan(recipe)
        if self.effort == "fast":
            return self.graph, plan
        from quant.improve.fit.layer_fit import fit_layers  # here, for it imports torch

        settings = FitSettings(recipe=recipe.of(self.target.name), threads=self.reference.threads)
        return fit_layers(self.graph, plan, self._feeds, settings)

    @property
    def key(self) -> str:
        """Fingerprint of all that a plan depends on besides the precisions of its groups."""
        origin = self.profile.provenance
        return digest(
            self.graph.fingerprint,
            f"{origin.data:x}",
            origin.settings,
            self.target.name,
            self.effort,
            repr(self.planner.recipe),
        )


@dataclass(frozen=True, kw_only=True)
class TargetSearch:
    """A search for mixed precision on one target, and its result.

    Attributes:
        inputs: What it was made from.
        axis: The cost that is minimised: "latency", "size" or "ops".
        limits: How accurate the plan had to be.
        most_cost: The budget on the axis; inf for none.
        costs: Of the groups.
        sensitivity: Of the groups.
        space: The additive model, its front and the rival paths.
        best: The winner and all that was measured.
        answers: Measures further assignments; None before the search.
    """

    inputs: SearchInputs
    axis: str
    limits: PlanLimits
    most_cost: float
    costs: Costs
    sensitivity: Sensitivity
    space: SearchSpace
    best: BestPlan
    answers: MeasuredPlans | None = field(default=None, repr=False, compare=False)

    def precisions(self, chosen: Assignment) -> tuple[Precision, ...]:
        """Return the precision of each group."""
        return tuple(self.costs.precisions[k] for k in chosen[: len(self.costs.groups)])

    def recipe(self, chosen: Assignment) -> Recipe:
        """Return the recipe of an assignment, with a reason for each group."""
        names = self.precisions(chosen)
        told = self.reasons(chosen)
        return with_assignment(
            self.inputs.planner.recipe, self.costs.groups, names, self.inputs.target.name, told
        )

    def reasons(self, chosen: Assignment) -> dict[str, str]:
        """Return for each group why it has its precision, by group name.

        Its share of the error that all groups make at the cheapest precision, and of the cost.
        """
        problem = self.space.problem
        first = problem.costs[: len(self.costs.groups)].argmin(axis=1)
        least = [problem.alone(g, int(k)) for g, k in enumerate(first)]
        known = math.fsum(e for e in least if math.isfinite(e))
        total = problem.cost(chosen)
        found = {}
        for g, (group, k) in enumerate(zip(self.costs.groups, chosen, strict=False)):
            name = self.costs.precisions[k]
            share = 1.0 if math.isinf(least[g]) else least[g] / known if known else 0.0
            cost = problem.costs[g, k] / total if total else 0.0
            word = "in" if k == first[g] else "kept"
            found[group.name] = (
                f"{word} {name}: {_percent(share)} of the output error at "
                f"{self.costs.precisions[first[g]]}, {_percent(cost)} of the {WORDS[self.axis]}"
            )
        return found


WORDS = {"latency": "time", "size": "size", "ops": "operations"}


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.2g} %"


def search_target(
    inputs: SearchInputs,
    progress: Progress,
    on_better: Callable[[Recipe], None] | None = None,
) -> TargetSearch:
    """Look for the cheapest plan that is good enough, and leave what was measured in the folder.

    A killed search that is begun again reads what it had, and ends in the same bytes.

    Args:
        inputs: Graph, planner, costs, goal and batches.
        progress: Shows the progress.
        on_better: Called with the recipe of each better plan as it is found: to write it.

    Raises:
        InputError: An unknown precision, nothing to choose, or a goal that nothing judges.
    """
    end = time.monotonic() + inputs.goal.seconds
    made = additive_model(inputs, progress, end)
    answers = _answers(made, progress)
    found = find_cheapest(
        made.space,
        answers,
        made.limits,
        SearchBudget(cost=made.most_cost, seconds=end - time.monotonic()),
        None if on_better is None else lambda p: on_better(made.recipe(p.chosen)),
    )
    return replace(made, best=found, answers=answers)


def additive_model(inputs: SearchInputs, progress: Progress, end: float = math.inf) -> TargetSearch:
    """Return a search before anything but sensitivities is measured: costs, errors and the front.

    Args:
        inputs: Graph, planner, costs, goal and batches.
        progress: Shows the progress.
        end: Of the monotonic clock: sensitivities are then taken from the samples seen so far.

    Raises:
        InputError: As `search_target`.
    """
    goal, target = inputs.goal, inputs.target
    candidates = _candidates(goal, target)
    axis, most = _axis(goal, inputs.table)
    groups, others = _groups(inputs)
    costs = costs_of(inputs.graph, inputs.table, groups, candidates, others)
    sensitivity = measured_sensitivity(inputs, groups, candidates, progress, end)
    problem = costs.problem(sensitivity.error, axis, goal.budgets, sensitivity.shared)
    plain = [k for k, name in enumerate(costs.precisions) if name in target.float_precisions]
    space = space_of(problem, plain)
    if not space.front:
        raise InputError(
            f"--budget: no plan for {target.name} keeps {_budgets(goal)}. Loosen it, or add a "
            "precision with --precisions."
        )
    return TargetSearch(
        inputs=inputs,
        axis=axis,
        limits=_limits(goal, inputs),
        most_cost=next((b.limit(_dearest(space)) for b in goal.budgets if b.axis == axis), most),
        costs=costs,
        sensitivity=sensitivity,
        space=space,
        best=BestPlan(),
    )


def _budgets(goal: SearchGoal) -> str:
    return ", ".join(
        f"{b.axis} {100 * b.most:g} %" if b.share else f"{b.axis} {b.most:g} {AXES[b.axis]}"
        for b in goal.budgets
    )


def _dearest(space: SearchSpace) -> float:
    """Return the cost of the most exact point."""
    return max((p.cost for p in space.front), default=math.inf)


def _candidates(goal: SearchGoal, target: Target) -> tuple[Precision, ...]:
    """Return the precisions to choose among; raises InputError for one the target lacks."""
    wanted = tuple(dict.fromkeys(goal.precisions or target.search_candidates))
    known = (*target.simulated_formats, *target.float_precisions)
    for name in wanted:
        if name not in known:
            raise InputError(
                f"--precisions: {target.title} has {', '.join(known)}, saw '{name}'. Name some of them."
            )
    if len(wanted) < 2:
        raise InputError(
            f"--precisions: at least two are wanted to choose among for {target.name}, saw "
            f"'{', '.join(wanted)}'. Add one of {', '.join(known)}."
        )
    return tuple(Precision(name) for name in wanted)


def _axis(goal: SearchGoal, table: CostTable) -> tuple[str, float]:
    """Return what is paid with: what the goal says, time where it is known, or bit operations."""
    timed = any(cost.milliseconds > 0 for cost in table.layers.values())
    asked = [b.axis for b in goal.budgets] + ([goal.axis] if goal.axis else [])
    if "latency" in asked and not timed:
        raise InputError(
            f"--budget: the time of a layer on {table.target} is not known here. Give --device with "
            "a file of your board's rates, or --latency with measured times."
        )
    return goal.axis or (asked[0] if asked else "latency" if timed else "ops"), math.inf


def _groups(inputs: SearchInputs) -> tuple[list[Group], dict[str, Precision]]:
    """Return the groups that choose, and the precision of every other layer."""
    target, graph = inputs.target, inputs.graph
    rules = inputs.planner.recipe.of(target.name)
    every = graph.layers
    plans: Mapping[str, LayerPlan] = precisions(
        every, target, inputs.planner.recipe, set(usable_tensors(graph, inputs.profile))
    )
    free = {x.name: plans[x.name] for x in every if rules.wants(x.name, x.op, "precision") is None}
    found = groups_of(graph, free)
    if not found:
        raise InputError(
            f"{graph.source}: no layer is left to search for {target.name}: what its table can "
            "quantize, the recipe decides. Take rules on precision out of the recipe."
        )
    if inputs.goal.groups:
        found = merged(found, inputs.goal.groups, graph)
    inside = {name for group in found for name in group.layers}
    return found, {name: p.precision for name, p in plans.items() if name not in inside}


def _limits(goal: SearchGoal, inputs: SearchInputs) -> PlanLimits:
    """Return how good a plan must be; a point of the metric or 20 dB where nothing is said."""
    if goal.limited:
        return PlanLimits(max_drop=goal.max_drop, min_sqnr=goal.min_sqnr)
    first = compare(
        inputs.reference.session,
        {"float": inputs.reference.session},
        inputs.reference.batches[:1],
        inputs.metrics,
    )
    if PlanScore.of(first["float"]).drop is not None:
        return PlanLimits(max_drop=DEFAULT_DROP, min_sqnr=None)
    return PlanLimits(max_drop=None, min_sqnr=DEFAULT_SQNR_DB)


def measured_sensitivity(
    inputs: SearchInputs,
    groups: Sequence[Group],
    candidates: Sequence[Precision],
    progress: Progress,
    end: float = math.inf,
) -> Sensitivity:
    """Measure each group at each precision alone, or read what an earlier run measured.

    Args:
        inputs: Graph, planner, costs, goal and batches.
        groups: The groups.
        candidates: The precisions.
        progress: Shows the progress.
        end: Of the monotonic clock: no batch but the first is begun after it.
    """
    goal = inputs.goal
    versions: dict[int, ir.Model] = {}
    texts, plans = [], []
    for k, name in enumerate(candidates):
        recipe = with_assignment(
            inputs.planner.recipe, groups, [name] * len(groups), inputs.target.name
        )
        plan = inputs.nearest_plan(recipe)
        texts += [inputs.graph.fingerprint, plan_text(plan)]
        plans.append(plan)
        if plan.quantized:
            versions[k] = quantize_graph(inputs.graph, plan, inputs.target, weight_form="integer")
    batches = _first(inputs.reference.batches, goal.samples)
    tensors = shared_tensors(inputs.graph, inputs.target, groups, plans)
    key = digest(
        inputs.graph.fingerprint,
        goal.sensitivity,
        *(x for tensor in tensors for x in (*tensor.tensors, repr(tensor.groups))),
        *texts,
        *(layer for group in groups for layer in (*group.layers, "")),
        *(f"{d:x}" for batch in batches for d in batch.digests),
    )
    file = GroupErrorsFile(path=inputs.folder / "probes.safetensors", key=key)
    quantized = QuantizedGroups(
        graph=inputs.graph,
        groups=groups,
        shared=tensors,
        precisions=len(candidates),
        versions=versions,
    )
    shown = progress.bar(batches, len(batches), f"sensitivity for {inputs.target.name}")
    threads = inputs.reference.threads
    errors = group_errors(
        quantized, _until(end, shown), goal.sensitivity, file=file, threads=threads
    )
    return sensitivity_of(errors, tensors, goal.sensitivity)


def _until(end: float, batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield batches while there is time, and the first one in any case."""
    for number, batch in enumerate(batches):
        if number and time.monotonic() >= end:
            return
        yield batch


def _first(samples: Sequence[Batch], count: int) -> list[Batch]:
    found: list[Batch] = []
    for batch in samples:
        if sum(b.count for b in found) < count:
            found.append(batch)
    return found


def _answers(made: TargetSearch, progress: Progress) -> MeasuredPlans:
    """Return what measures an assignment on the samples that decide."""
    inputs = made.inputs
    names = [m.name for m in inputs.metrics]
    key = digest(
        inputs.key,
        *made.costs.precisions,
        *(layer for group in made.costs.groups for layer in (*group.layers, "")),
        *names,
        *(f"{d:x}" for batch in inputs.reference.batches for d in batch.digests),
    )

    def ask(chosen: Assignment) -> PlanScore:
        begun = time.monotonic()
        graph, plan = inputs.plan(made.recipe(chosen))
        session = open_plan(graph, plan, inputs.target, inputs.reference.threads)
        shown = progress.bar(
            inputs.reference.batches,
            len(inputs.reference.batches),
            f"plan for {inputs.target.name}",
        )
        found = PlanScore.of(
            compare(inputs.reference.session, {"plan": session}, shown, inputs.metrics)["plan"]
        )
        _say(made, chosen, found, time.monotonic() - begun, progress)
        return found

    return MeasuredPlans(inputs.folder / "answers.json", key, ask)


def _say(
    made: TargetSearch, chosen: Assignment, answer: PlanScore, seconds: float, progress: Progress
) -> None:
    """Say what a plan measures, and how long the search may still take."""
    cost = made.space.problem.cost(chosen)
    lost = (
        f", {answer.metric} {0.0 - 100 * answer.drop:+.2f} points"
        if answer.drop is not None
        else ""
    )
    progress.line(
        f"search for {made.inputs.target.name}: {cost:.4g} {AXES[made.axis]} has "
        f"{answer.sqnr_db:.1f} dB{lost}; {seconds:.1f} s a plan, {most_measured(made.space)} plans at most"
    )

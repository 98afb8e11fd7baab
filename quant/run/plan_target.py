"""The plan of one target of a run: searched, chosen, improved, and written as it gets better."""

__all__ = ["PlannedTarget", "plan_target"]

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from quant.choose.planner import Planner
from quant.deploy.target_folder import TargetFolder, WrittenTarget
from quant.graph.prepared_graph import Graph
from quant.improve.ladder import LadderInputs, LadderState, Rung, recover_accuracy
from quant.improve.pick_observer import ObserverTrial, pick_observer
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.run.calibration import Calibration
from quant.run.context import RunContext
from quant.run.search import search_precisions
from quant.search.target_search import TargetSearch
from quant.target.table import Target


@dataclass(frozen=True, kw_only=True)
class PlannedTarget:
    """One target's plan, as it was written.

    Attributes:
        planner: The target, its rules, and the observer that was taken.
        written: The folder: its plan, the writer's files and what the checks find.
        base: The prepared graph, or one that computes the same float function with other numbers.
        graph: The graph that the plan is about: `base`, or with fitted weights.
        profile: Of `graph`.
        observers_db: SQNR in dB of each observer that was tried, by name.
        rungs: The steps that were tried to recover accuracy.
        search: The search for mixed precision; None where none was asked for.
    """

    planner: Planner
    written: WrittenTarget
    base: Graph
    graph: Graph
    profile: Profile
    observers_db: Mapping[str, float] = field(default_factory=dict)
    rungs: tuple[Rung, ...] = ()
    search: TargetSearch | None = None

    @property
    def target(self) -> Target:
        """The table."""
        return self.planner.target

    @property
    def plan(self) -> Plan:
        """The plan as it was written."""
        return self.written.plan


def plan_target(context: RunContext, calibration: Calibration, target: Target) -> PlannedTarget:
    """Search, choose and improve the plan of a target, and write its folder.

    The folder always holds the best plan so far, so that a killed run leaves it.

    Raises:
        InputError: A search has no answer, or the folder cannot be written.
    """
    job, progress = context.job, context.progress
    planner = Planner(target=target, recipe=context.recipes[target.name], observer=job.observer)
    search = None
    if job.goal is not None:
        with progress.stage("search"):
            planner, search = search_precisions(context, calibration, planner, job.goal)
    with progress.stage("choose"):
        trial = _trial(context, calibration, planner)
        if trial is not None:
            planner = replace(planner, observer=trial.best)
            plan = trial.plan
        else:
            plan = planner.plan(context.graph, calibration.profile)
    with progress.stage("write"):
        folder = TargetFolder(
            path=job.out / target.name, target=target, deployment=calibration.deployment
        )
        written = folder.write(context.graph, plan)
    planned = PlannedTarget(
        planner=planner,
        written=written,
        base=context.graph,
        graph=context.graph,
        profile=calibration.profile,
        observers_db=trial.sqnr_db if trial is not None else {},
        search=search,
    )
    return _improved(context, calibration, planned)


def _trial(context: RunContext, calibration: Calibration, planner: Planner) -> ObserverTrial | None:
    """Try the observers, where neither the user nor the target decides."""
    decided = planner.observer or planner.recipe.defaults.observer
    if decided is not None or planner.target.observers:
        return None
    return pick_observer(planner, context.graph, calibration.profile, calibration.trial)


def _improved(
    context: RunContext, calibration: Calibration, planned: PlannedTarget
) -> PlannedTarget:
    """Recover accuracy, and write each better plan at once."""
    if not calibration.fit.batches:
        return planned
    inputs = LadderInputs(
        planner=planned.planner,
        profile=calibration.profile,
        reference=calibration.fit,
        pixels=calibration.deployment.pixels,
        profile_again=context.profile_of,
    )
    with context.progress.stage("improve"):
        for state in recover_accuracy(context.job.effort, planned.graph, planned.plan, inputs):
            if state.improved:
                planned = _written(context, calibration, planned, state)
            planned = replace(planned, rungs=state.rungs)
    return planned


def _written(
    context: RunContext, calibration: Calibration, planned: PlannedTarget, state: LadderState
) -> PlannedTarget:
    """Write a better plan; edited weights get a profile of their own, over all samples."""
    profile = calibration.profile
    if state.graph.fingerprint != context.graph.fingerprint:
        profile = context.profile_of(state.graph, context.batches(context.material.calibrated))
    path: Path = context.job.out / planned.target.name
    deployment = replace(calibration.deployment, profile=profile)
    folder = TargetFolder(path=path, target=planned.target, deployment=deployment)
    written = folder.write(state.graph, state.plan, prepared=context.graph)
    return replace(planned, written=written, base=state.base, graph=state.graph, profile=profile)

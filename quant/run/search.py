"""Mixed precision within a run: search one target, and go on with the recipe of the best plan."""

__all__ = ["search_precisions"]

from dataclasses import replace

from quant.choose.planner import Planner
from quant.deploy.target_folder import TargetFolder
from quant.improve.pick_observer import pick_observer
from quant.job.search_goal import SearchGoal
from quant.plan.recipe import Recipe
from quant.run.calibration import Calibration
from quant.run.context import RunContext
from quant.search.cost_source import cost_table
from quant.search.target_search import SearchInputs, TargetSearch, search_target
from quant.search.write_files import write_search


def search_precisions(
    context: RunContext, calibration: Calibration, planner: Planner, goal: SearchGoal
) -> tuple[Planner, TargetSearch]:
    """Return the planner with the recipe of the plan that a search found, and the search.

    Each better plan is written to the target's folder as it is found. What the search measured is
    in `<target>/search/`.

    Args:
        context: The run.
        calibration: Its fit batches decide.
        planner: Of the target.
        goal: How accurate or cheap the plan must be.

    Raises:
        InputError: As `search_target`.
    """
    job, graph, target = context.job, context.graph, planner.target
    batches = calibration.fit.batches
    table = cost_table(graph, target, job, batches, calibration.profile)
    inputs = SearchInputs(
        graph=graph,
        profile=calibration.profile,
        planner=_with_observer(context, calibration, planner),
        effort=job.effort,
        table=table,
        goal=goal,
        reference=calibration.fit,
        metrics=context.metrics,
        folder=job.out / target.name / "search",
    )
    folder = TargetFolder(
        path=job.out / target.name, target=target, deployment=calibration.deployment
    )

    def write_better(recipe: Recipe) -> None:
        fitted, plan = inputs.plan(recipe)
        if fitted.fingerprint == graph.fingerprint:  # other weights need a profile of their own
            folder.write(fitted, plan)

    search = search_target(inputs, context.progress, write_better)
    write_search(search, inputs.folder)
    best = search.best.point
    recipe = search.recipe(best.chosen) if best is not None else inputs.planner.recipe
    return replace(planner, recipe=recipe), search


def _with_observer(context: RunContext, calibration: Calibration, planner: Planner) -> Planner:
    """Settle the observer once, in the recipe's defaults, so that every plan has the same."""
    defaults = planner.recipe.defaults
    observer = context.job.observer or defaults.observer
    if observer is None and not planner.target.observers:
        observer = pick_observer(planner, context.graph, calibration.profile, calibration.fit).best
    recipe = replace(planner.recipe, defaults=replace(defaults, observer=observer))
    return replace(planner, recipe=recipe, observer=None)

"""Search run: what a run of the main job gives to a search for mixed precision, and takes from it."""

__all__ = ["search_run"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.choose.bias_correction import correct_bias
from quant.choose.planner import choose, usable_tensors
from quant.common.fingerprint import digest
from quant.common.progress import Progress
from quant.compare.batch import Batch, joined_feeds
from quant.cost.layer_costs import CostTable
from quant.deploy.target_folder import write_target_folder
from quant.graph.prepared_graph import Graph
from quant.improve.pick_observer import TRIAL_BATCHES, best_of, pick_plan
from quant.job.settings import Job
from quant.metrics.metric import Metric
from quant.plan.recipe import Recipe
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.search.target_search import SearchInputs, TargetSearch, search_target
from quant.search.write_files import write_search
from quant.target.deployment import Deployment
from quant.target.table import Target


def search_run(
    job: Job,
    graph: Graph,
    target: Target,
    recipe: Recipe,
    profile: Profile,
    table: CostTable,
    samples: Sequence[Batch],
    plain: Any,
    metrics: Sequence[Metric],
    deployment: Deployment,
    progress: Progress,
) -> tuple[Recipe, TargetSearch]:
    """Return the recipe of the plan that a search found, and the search.

    Each better plan is written to the target's folder as it is found. What the search measured is
    in `<target>/search/`.

    Args:
        job: What was asked; `job.goal` is not None.
        graph: The prepared graph.
        target: The table.
        recipe: The target's rules.
        profile: Of the graph.
        table: What layers cost.
        samples: Calibration samples in memory: they decide.
        plain: ONNX Runtime session of the graph.
        metrics: The first one is limited by `--max-drop`.
        deployment: For what is written.
        progress: Progress.

    Raises:
        InputError: As `search_target`.
    """
    assert job.goal is not None
    recipe = _with_observer(job, graph, target, recipe, profile, samples, plain)
    folder = job.out / target.name / "search"
    feeds = joined_feeds(samples)

    def rough(rules: Recipe) -> tuple[Graph, Plan]:
        plan = choose(graph, profile, target, recipe=rules, all_float=True)
        return graph, correct_bias(plan, graph, profile, rules)

    ground = SearchInputs(
        graph=graph,
        target=target,
        recipe=recipe,
        table=table,
        goal=job.goal,
        samples=samples,
        plain=plain,
        metrics=metrics,
        seen=frozenset(usable_tensors(graph, profile)),
        make=rough if job.effort == "fast" else _fitted(rough, target, feeds, job.threads),
        rough=rough,
        folder=folder,
        key=_key(job, graph, profile, recipe, target),
        threads=job.threads,
    )

    def keep(rules: Recipe) -> None:
        made, plan = ground.make(rules)
        if made.fingerprint == graph.fingerprint:  # other weights need a profile of their own
            write_target_folder(made, plan, target, job.out / target.name, deployment)

    found = search_target(ground, progress, keep)
    write_search(found, folder)
    best = found.found.point
    return (found.recipe(best.chosen) if best is not None else recipe), found


def _with_observer(
    job: Job,
    graph: Graph,
    target: Target,
    recipe: Recipe,
    profile: Profile,
    samples: Sequence[Batch],
    plain: Any,
) -> Recipe:
    """Settle the observer once, so that every plan of the search has the same."""
    name = job.observer or recipe.defaults.observer
    if name is None and not target.observers:
        score = pick_plan(
            graph, profile, target, recipe, samples[:TRIAL_BATCHES], plain, job.threads
        )[1]
        name = best_of(score)
    return replace(recipe, defaults=replace(recipe.defaults, observer=name))


def _fitted(
    rough: Callable[[Recipe], tuple[Graph, Plan]],
    target: Target,
    feeds: Mapping[str, NDArray[np.float32]],
    threads: int,
) -> Callable[[Recipe], tuple[Graph, Plan]]:
    """Return what makes plans with integers fitted to the samples, as the ladder does."""

    def make(rules: Recipe) -> tuple[Graph, Plan]:
        from quant.improve.fit.layer_fit import fit_layers  # here, for it imports torch

        graph, plan = rough(rules)
        return fit_layers(graph, plan, feeds, rules.of(target.name), threads=threads)

    return make


def _key(job: Job, graph: Graph, profile: Profile, recipe: Recipe, target: Target) -> str:
    """Return the fingerprint of all that a plan depends on beside its assignment."""
    seen = profile.provenance
    return digest(
        graph.fingerprint, f"{seen.data:x}", seen.settings, target.name, job.effort, repr(recipe)
    )

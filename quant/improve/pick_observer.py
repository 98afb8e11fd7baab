"""Pick: which observer suits a network, decided by measuring instead of by taste.

No observer is best everywhere: cutting tails helps a network whose outliers are noise, and ruins
one whose outliers are its signal (gates, hard-swish). So each is tried as a whole plan, on a few
of the calibration samples, by the error at the network's outputs.
"""

__all__ = ["CANDIDATES", "TRIAL_BATCHES", "best_of", "pick_plan"]

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from quant.choose.bias_correction import correct_bias
from quant.choose.planner import choose
from quant.compare.batch import Batch
from quant.compare.comparison import compare
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_simulation
from quant.plan.recipe import Recipe
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import Target

CANDIDATES = ("minmax", "mse", "percentile")
"""In this order; a later one must be better by MARGIN_DB."""
TRIAL_BATCHES = 16
"""Batches on which observers are tried: what saturates is rare, and few samples would miss it."""

MARGIN_DB = 0.5
"""Ranges that cut tails were fitted to the very samples they are tried on, and flatter themselves:
on held-out samples about 0.5 dB of their lead was gone (docs/observers.md)."""


def pick_plan(
    graph: Graph,
    profile: Profile,
    target: Target,
    recipe: Recipe,
    samples: Sequence[Batch],
    plain: Any,
    threads: int = 0,
) -> tuple[Plan, dict[str, float]]:
    """Return the plan of the best observer, and every candidate's SQNR in dB at the worst output.

    Args:
        graph: The prepared graph.
        profile: Of it.
        target: The table.
        recipe: The user's rules; what they say of an observer stays as it is in every candidate.
        samples: Some of the calibration samples.
        plain: ONNX Runtime session of the graph.
        threads: Threads inside one operator; 0 for all cores.
    """
    plans = {
        name: correct_bias(
            choose(graph, profile, target, recipe=recipe, observer=name), graph, profile, recipe
        )
        for name in CANDIDATES
    }
    sessions = {
        name: open_simulation(quantize_graph(graph, plan, target, weight_form="integer"), threads)
        for name, plan in plans.items()
    }
    found = compare(plain, sessions, samples)
    score = {name: found[name].sqnr_db for name in CANDIDATES}
    best = best_of(score)
    return _with_reason(plans[best], score, best), score


def best_of(score: Mapping[str, float]) -> str:
    """Return the observer of the highest score; a later candidate must lead by MARGIN_DB."""
    best = CANDIDATES[0]
    for name in CANDIDATES[1:]:
        if score[name] > score[best] + MARGIN_DB:
            best = name
    return best


def _with_reason(plan: Plan, score: Mapping[str, float], best: str) -> Plan:
    """Say in each activation's reason why its observer was taken."""
    others = ", ".join(f"{name} {value:.1f}" for name, value in score.items() if name != best)
    said = f"{best} was best at the outputs ({score[best]:.1f} dB; {others})"
    tensors = {
        name: replace(t, because=f"{t.because}; {said}")
        if t.kind == "activation" and f"; {best} keeps" in t.because
        else t
        for name, t in plan.tensors.items()
    }
    return replace(plan, tensors=tensors)

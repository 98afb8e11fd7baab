"""The observer that suits a network best, decided by measuring whole plans.

No observer is best everywhere: cutting tails helps a network whose outliers are noise, and ruins
one whose outliers are its signal (gates, hard-swish). So each candidate is tried as a whole plan, on
a few of the calibration samples, by the error at the network's outputs.
"""

__all__ = ["TRIAL_BATCHES", "ObserverTrial", "pick_observer"]

from collections.abc import Mapping
from dataclasses import dataclass, replace

from quant.choose.planner import Planner
from quant.compare.comparison import compare
from quant.compare.float_reference import FloatReference
from quant.graph.prepared_graph import Graph
from quant.observers import OBSERVERS
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.simulate.open_plan import open_plan

TRIAL_BATCHES = 16
"""Batches on which observers are tried: what saturates is rare, and few samples would miss it."""

MARGIN_DB = 0.5
"""Ranges that cut tails were fitted to the very samples they are tried on, and flatter themselves:
on held-out samples about 0.5 dB of their lead was gone (docs/observers.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverTrial:
    """Observers tried as whole plans.

    Attributes:
        best: Name of the observer that is taken.
        plan: Its plan.
        sqnr_db: By observer the SQNR in dB at the worst output.
    """

    best: str
    plan: Plan
    sqnr_db: Mapping[str, float]


def pick_observer(
    planner: Planner, graph: Graph, profile: Profile, reference: FloatReference
) -> ObserverTrial:
    """Return the plan of the best observer, and the SQNR of every candidate.

    Args:
        planner: Of the target; what its recipe says of an observer stays in every candidate.
        graph: The prepared graph.
        profile: Of it.
        reference: The first TRIAL_BATCHES batches are used.
    """
    names = OBSERVERS.candidates
    plans = {name: replace(planner, observer=name).plan(graph, profile) for name in names}
    sessions = {
        name: open_plan(graph, plan, planner.target, reference.threads)
        for name, plan in plans.items()
    }
    comparisons = compare(reference.session, sessions, reference.batches[:TRIAL_BATCHES])
    sqnr_db = {name: comparisons[name].sqnr_db for name in names}
    best = _best_of(sqnr_db)
    return ObserverTrial(best=best, plan=_with_reason(plans[best], sqnr_db, best), sqnr_db=sqnr_db)


def _best_of(sqnr_db: Mapping[str, float]) -> str:
    """Return the observer of the highest SQNR; a later candidate must lead by MARGIN_DB."""
    best, *others = sqnr_db
    for name in others:
        if sqnr_db[name] > sqnr_db[best] + MARGIN_DB:
            best = name
    return best


def _with_reason(plan: Plan, sqnr_db: Mapping[str, float], best: str) -> Plan:
    """Say in each activation's reason why its observer was taken."""
    others = ", ".join(f"{name} {value:.1f}" for name, value in sqnr_db.items() if name != best)
    reason = f"{best} was best at the outputs ({sqnr_db[best]:.1f} dB; {others})"
    tensors = {
        name: replace(t, because=f"{t.because}; {reason}")
        if t.kind == "activation" and f"; {best} keeps" in t.because
        else t
        for name, t in plan.tensors.items()
    }
    return replace(plan, tensors=tensors)

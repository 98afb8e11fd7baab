"""A graph with the plan that was chosen for it and the profile that the plan was chosen from."""

__all__ = ["PlannedGraph"]

from dataclasses import dataclass

from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedGraph:
    """A graph with its plan and profile: what errors and causes of layers are worked out from.

    Attributes:
        graph: The prepared graph.
        plan: The plan of one target for this graph.
        profile: The statistics of the graph's activations.
    """

    graph: Graph
    plan: Plan
    profile: Profile

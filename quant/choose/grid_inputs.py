"""What the grids of a plan are chosen from, once it is decided which layers are integer."""

__all__ = ["GridInputs"]

from dataclasses import dataclass

from quant.choose.placement import Placement
from quant.graph.prepared_graph import Graph
from quant.plan.recipe import Recipe
from quant.profile.statistics import Profile
from quant.target.table import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class GridInputs:
    """A placement, and what puts numbers on it.

    Attributes:
        graph: The prepared graph.
        profile: The statistics of its activations.
        target: The table.
        placed: Which tensors get a quantizer, for which readers, in which groups.
        rules: The recipe's rules for this target.
        observer: The observer of activations for which no rule asks another.
    """

    graph: Graph
    profile: Profile
    target: Target
    placed: Placement
    rules: Recipe
    observer: str

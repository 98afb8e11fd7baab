"""From a graph and its profile to a plan: every tensor's grid with its reason, biases corrected."""

__all__ = ["OBSERVER", "Planner", "node_types", "usable_tensors"]

from dataclasses import dataclass

from quant.choose.activation_grids import activation_grids
from quant.choose.bias_correction import correct_bias
from quant.choose.float16_grids import float16_grids, float16_scales
from quant.choose.grid_inputs import GridInputs
from quant.choose.placement import Placement, place
from quant.choose.weight_grids import weight_grids
from quant.common.errors import InputError
from quant.formats.precision import Precision
from quant.graph.layers import source_of
from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.recipe import NOTHING, Recipe
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.target.table import Target

OBSERVER = "mse"
"""The default; `docs/observers.md` has the measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Makes the plans of one target, by one recipe.

    Attributes:
        target: The table.
        recipe: The user's rules; a rule that decides nothing is refused.
        observer: For what no rule decides; it takes precedence over the recipe's own default.
    """

    target: Target
    recipe: Recipe = NOTHING
    observer: str | None = None

    @property
    def default_observer(self) -> str:
        """The observer of a tensor for which no rule asks another."""
        return self.observer or self.recipe.defaults.observer or OBSERVER

    def plan(self, graph: Graph, profile: Profile, *, all_float: bool = False) -> Plan:
        """Return the plan of a graph: grids chosen from its profile, and biases corrected.

        Raises:
            InputError: As `choose`.
        """
        plan = self.choose(graph, profile, all_float=all_float)
        return correct_bias(plan, graph, profile, self.recipe)

    def choose(self, graph: Graph, profile: Profile, *, all_float: bool = False) -> Plan:
        """Return the plan of a graph with the grids alone, without corrected biases.

        Args:
            graph: The prepared graph.
            profile: The profile of this graph.
            all_float: Accept a recipe that leaves no layer to quantize.

        Raises:
            InputError: The profile is of another graph, a rule matches nothing, the observer is
                unknown, or the recipe leaves no layer to quantize.
        """
        target = self.target
        profile.must_match(graph=graph.fingerprint)
        self.recipe.check(node_types(graph))
        placed = place(graph, target, self.recipe, usable_tensors(graph, profile))
        inputs = GridInputs(
            graph=graph,
            profile=profile,
            target=target,
            placed=placed,
            rules=self.recipe.of(target.name),
            observer=self.default_observer,
        )
        tensors = activation_grids(inputs)
        integer = [x for x in graph.layers if placed.layers[x.name].quantized]
        if not all_float and not any(weight_of(x.node) is not None for x in integer):
            raise InputError(
                f"plan for '{target.name}': no layer is left to quantize; the first weighted layer "
                f"stays float because {_first_reason(graph, placed)}. Relax the recipe."
            )
        tensors |= weight_grids(inputs, tensors)
        if target.float16_in_graph and any(
            x.precision is Precision.FLOAT16 for x in placed.layers.values()
        ):
            tensors = float16_scales(tensors)
            tensors |= float16_grids(graph, placed, tensors)
        return Plan(
            target=target.name, graph=graph.fingerprint, layers=placed.layers, tensors=tensors
        )


def node_types(graph: Graph) -> list[tuple[str, str]]:
    """Return the `(name, type)` that a recipe's rules may be about; inputs have type "Input"."""
    inputs = [(str(v.name), "Input") for v in graph.inputs]
    return inputs + [(layer.name, layer.op) for layer in graph.layers]


def usable_tensors(graph: Graph, profile: Profile) -> list[str]:
    """Return the activations that a profile says enough of to put them on a grid."""
    return [n for n in graph.activations if _usable(graph, profile, n)]


def _usable(graph: Graph, profile: Profile, name: str) -> bool:
    """Return whether a tensor was profiled, itself or as a view, and held finite numbers."""
    statistics = profile.tensors.get(source_of(graph, name))
    return statistics is not None and statistics.low <= statistics.high


def _first_reason(graph: Graph, placed: Placement) -> str:
    weighted = (placed.layers[x.name] for x in graph.layers if weight_of(x.node) is not None)
    return next((plan.because for plan in weighted), "the graph has none")

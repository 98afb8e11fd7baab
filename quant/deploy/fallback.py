"""Fallback: a plan with some of its layers back in float, and without the grids for them alone."""

__all__ = [
    "fallen_back",
    "kept_float",
    "model_findings",
    "planned_floats",
    "refused_layers",
    "wanted_floats",
    "with_fallback",
]

import glob
from collections.abc import Collection, Mapping
from dataclasses import replace

from quant.common.errors import InputError
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph
from quant.plan.recipe import Recipe, Rule
from quant.plan.tensor_plans import Plan, TensorPlan
from quant.target.deployment import Deployment
from quant.target.finding import Finding, errors
from quant.target.table import Target

Readers = tuple[tuple[str, int], ...]


def kept_float(graph: Graph, plan: Plan, refused: Mapping[str, str], precision: Precision) -> Plan:
    """Return the plan with layers in a float precision; one without such layers comes back as it is.

    Args:
        graph: The prepared graph.
        plan: Of a target whose integer layers quantize what they read.
        refused: By layer the reason that the plan shall give.
        precision: Of these layers; those that have no grids already keep theirs.
    """
    names = {n for n in refused if n in plan.layers and plan.layers[n].quantized}
    if not names:
        return plan
    layers = {
        name: replace(layer, precision=precision, because=refused[name]) if name in names else layer
        for name, layer in plan.layers.items()
    }
    tensors = {
        key: kept
        for key, tensor in plan.tensors.items()
        if (kept := _without(tensor, _readers(graph, tensor), names)) is not None
    }
    shifts = {name: shift for name, shift in plan.bias_shifts.items() if name not in names}
    return replace(plan, layers=layers, tensors=tensors, bias_shifts=shifts)


def _readers(graph: Graph, tensor: TensorPlan) -> Readers:
    """Return who sees a grid; every reader of the tensor where the plan says everybody."""
    if tensor.readers is not None:
        return tensor.readers
    value = graph.values.get(tensor.tensor)
    return tuple((str(u.node.name), u.idx) for u in value.uses()) if value is not None else ()


def _without(tensor: TensorPlan, readers: Readers, refused: set[str]) -> TensorPlan | None:
    """Return a tensor's plan without some readers; None when nobody is left."""
    kept = tuple(reader for reader in readers if reader[0] not in refused)
    if len(kept) == len(readers):
        return tensor
    return replace(tensor, readers=kept) if kept else None


def planned_floats(plan: Plan) -> frozenset[str]:
    """Return the layers that a plan keeps float."""
    return frozenset(name for name, layer in plan.layers.items() if not layer.quantized)


def wanted_floats(graph: Graph, target: Target, recipe: Recipe) -> frozenset[str]:
    """Return the layers that the user's rules keep float."""
    rules, words = recipe.of(target.name), ("float", *target.float_precisions)
    return frozenset(
        x.name for x in graph.layers if rules.wants(x.name, x.op, "precision") in words
    )


def refused_layers(
    graph: Graph, target: Target, deployment: Deployment, floats: Collection[str] = ()
) -> Mapping[str, str]:
    """Return the layers that the target cannot take and that fall back, each with what was seen.

    Args:
        graph: The prepared graph.
        target: The table.
        deployment: Says whether layers may fall back.
        floats: Layers that are float whatever is said here.

    Raises:
        InputError: There are some and `allow_fallback` is off, or one of them cannot fall back.
    """
    if target.check_model is None:
        return {}
    strict = errors(target.check_model(graph, replace(deployment, allow_fallback=False)))
    left = errors(model_findings(graph, target, deployment, floats))
    if left:
        more = f" ({len(left) - 1} more; quant check --target {target.name} lists them)"
        hint = "" if deployment.allow_fallback else _hint(graph, target, deployment, len(left))
        raise InputError(f"{graph.source}: {left[0]}{more if len(left) > 1 else ''}{hint}")
    seen = {f.layer: f.saw for f in strict if f.layer is not None}
    leaving = target.fallback(graph, deployment) if target.fallback is not None and seen else seen
    names = {layer.name for layer in graph.layers}
    return {n: seen.get(n, "it follows a refused layer") for n in leaving if n in names}


def _hint(graph: Graph, target: Target, deployment: Deployment, count: int) -> str:
    """Return what --allow-fallback would do for the refused layers; nothing where it does not help."""
    mild = errors(model_findings(graph, target, replace(deployment, allow_fallback=True), ()))
    if len(mild) == count:
        return ""
    where = "are cut to the CPU" if target.fallback is not None else "stay float"
    return f" Or give --allow-fallback: such layers {where}."


def with_fallback(recipe: Recipe, refused: Mapping[str, str], target: Target) -> Recipe:
    """Return the recipe with a rule in front for each layer that falls back."""
    rules = tuple(
        Rule(
            match=glob.escape(name),
            target=target.name,
            precision=target.float_precisions[0],
            because=because,
        )
        for name, because in _reasons(refused, target).items()
    )
    return replace(recipe, rules=(*rules, *recipe.rules))


def fallen_back(graph: Graph, plan: Plan, refused: Mapping[str, str], target: Target) -> Plan:
    """Return a plan that was chosen before it was known what falls back, with those layers float."""
    return kept_float(graph, plan, _reasons(refused, target), target.float_precisions[0])


def _reasons(refused: Mapping[str, str], target: Target) -> dict[str, str]:
    return {name: f"{target.title} cannot take it: {saw}" for name, saw in refused.items()}


def model_findings(
    graph: Graph, target: Target, deployment: Deployment, floats: Collection[str]
) -> list[Finding]:
    """Return the findings of a model; what is float has fallen back, whether that was allowed or not."""
    if target.check_model is None:
        return []
    found = target.check_model(graph, deployment)
    if target.fallback is not None or deployment.allow_fallback or not floats:
        return found  # to leave the chip takes more than to be float
    mild = target.check_model(graph, replace(deployment, allow_fallback=True))
    fallen = {(f.rule, f.layer, f.saw): f for f in mild if f.layer in floats}
    return [fallen.get((f.rule, f.layer, f.saw), f) for f in found]

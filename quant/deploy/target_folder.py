"""Ship: everything that a target's folder holds, whole or not at all."""

__all__ = [
    "Shipped",
    "fallen_back",
    "planned_floats",
    "refuse_narrow",
    "refused_layers",
    "ship",
    "simulated",
    "wanted_floats",
    "with_fallback",
]

import glob
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx_ir as ir

from quant.common.errors import InputError
from quant.common.files import staged, write_json
from quant.deploy.fallback import kept_float
from quant.formats.emulated_integers import unexportable
from quant.graph.layers import layers
from quant.graph.prepared_graph import Graph, save_model
from quant.plan.file import save_plan
from quant.plan.fitted_graph import GRAPH_FILE, save_graph
from quant.plan.recipe import Recipe, Rule
from quant.plan.tensor_plans import Plan
from quant.profile.file import save_profile
from quant.simulate.simulated_graph import quantize_graph
from quant.target.check_plan import check_plan, check_whole
from quant.target.deployment import Deployment
from quant.target.finding import Finding, errors, findings_json
from quant.target.table import Exported, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """What was written for one target.

    Attributes:
        plan: As it was written: with `allow_fallback` some layers of the given one may be float.
        exported: By the target's own writer.
        findings: Of the checks of the graph and of the files.
    """

    plan: Plan = field(compare=False)
    exported: Exported
    findings: tuple[Finding, ...]


def simulated(graph: Graph, plan: Plan, target: Target) -> ir.Model:
    """Return the graph that computes in ONNX Runtime what the target will compute.

    Raises:
        InputError: The plan does not fit the graph.
    """
    check_plan(plan, graph, target)
    if target.simulate is not None:
        return target.simulate(graph, plan)
    return quantize_graph(graph, plan, target, weight_form="integer")


def ship(
    graph: Graph,
    plan: Plan,
    target: Target,
    folder: Path,
    deployment: Deployment,
    prepared: Graph | None = None,
) -> Shipped:
    """Write plan, simulation, the target's own files and what the checks find in them.

    Everything is written into a scratch folder beside `folder` and moved when it is complete. Where
    `graph` has other weights than `prepared`, it is written too, with the deployment's profile, so
    that the plan can be exported again. What the target has no kernels for is only simulated.

    Raises:
        InputError: The plan does not fit, or the folder cannot be written to.
    """
    check_whole(plan, graph, target)
    with staged(folder) as scratch:
        narrow = _narrow(plan, target)
        exported = Exported(files=()) if narrow else target.write(graph, plan, scratch, deployment)
        if prepared is not None and prepared.fingerprint != graph.fingerprint:
            save_graph(graph, prepared.fingerprint, scratch / GRAPH_FILE)
            if deployment.profile is not None:
                save_profile(deployment.profile, scratch / "profile.safetensors")
        if deployment.allow_fallback and target.settle is not None:
            plan = target.settle(graph, plan)
        save_plan(plan, scratch / "plan.json")
        save_model(simulated(graph, plan, target), scratch / "simulated.onnx")
        found = _findings(graph, plan, target, scratch, deployment)
        told = findings_json(target.name, found) | {"files": sorted(exported.files)}
        write_json(scratch / "check.json", told)
        before = _earlier(folder)
    for name in before - set(exported.files):
        (folder / name).unlink(missing_ok=True)
    return Shipped(plan=plan, exported=exported, findings=tuple(found))


def _narrow(plan: Plan, target: Target) -> list[str]:
    return unexportable({x.precision for x in plan.layers.values()}, target.formats)


def _simulated_only(narrow: Sequence[str], target: Target) -> Finding:
    return Finding(
        rule="precision",
        severity="warning",
        place="the plan",
        saw=", ".join(narrow),
        wanted=", ".join(target.formats),
        mend=f"{target.title} has no kernels for it, so only its simulation was written.",
    )


def refuse_narrow(plan: Plan, target: Target) -> None:
    """Refuse to export what a target can only be simulated in.

    Raises:
        InputError: A layer's precision has no kernels there.
    """
    if narrow := _narrow(plan, target):
        raise InputError(
            f"plan for '{target.name}': {target.title} has kernels for {', '.join(target.formats)}, "
            f"saw {', '.join(narrow)}. Simulate it, or choose again with another precision."
        )


def _earlier(folder: Path) -> set[str]:
    """Return what the export before this one left in the folder, by its own list.

    A calibration cache beside a graph for TensorRT 11, or the tail of another cut, would be taken for
    part of the new export. What the list names outside the folder is not ours.
    """
    try:
        told = json.loads((folder / "check.json").read_text(encoding="utf-8"))
        names = [str(name) for name in told["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    root = folder.resolve()
    inside = (name for name in names if (folder / name).resolve().is_relative_to(root))
    return {name for name in inside if (folder / name).is_file()}


def _findings(
    graph: Graph, plan: Plan, target: Target, folder: Path, deployment: Deployment
) -> list[Finding]:
    """Return what the checks find in the files, and of the model what the files do not show."""
    narrow = _narrow(plan, target)
    after = [_simulated_only(narrow, target)] if narrow else []
    if target.check_export is not None and not narrow:
        after = target.check_export(folder, deployment)
    before = _of_model(graph, target, deployment, planned_floats(plan))
    shown = {(f.rule, f.layer, f.saw) for f in after}
    return [*(f for f in before if (f.rule, f.layer, f.saw) not in shown), *after]


def _of_model(
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


def planned_floats(plan: Plan) -> frozenset[str]:
    """Return the layers that a plan keeps float."""
    return frozenset(name for name, layer in plan.layers.items() if not layer.quantized)


def wanted_floats(graph: Graph, target: Target, recipe: Recipe) -> frozenset[str]:
    """Return the layers that the user's rules keep float."""
    rules, words = recipe.of(target.name), ("float", *target.floats)
    return frozenset(
        x.name for x in layers(graph) if rules.wants(x.name, x.op, "precision") in words
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
    left = errors(_of_model(graph, target, deployment, floats))
    if left:
        more = f" ({len(left) - 1} more; quant check --target {target.name} lists them)"
        hint = "" if deployment.allow_fallback else _hint(graph, target, deployment, len(left))
        raise InputError(f"{graph.source}: {left[0]}{more if len(left) > 1 else ''}{hint}")
    seen = {f.layer: f.saw for f in strict if f.layer is not None}
    leaving = target.fallback(graph, deployment) if target.fallback is not None and seen else seen
    names = {layer.name for layer in layers(graph)}
    return {n: seen.get(n, "it follows a refused layer") for n in leaving if n in names}


def _hint(graph: Graph, target: Target, deployment: Deployment, count: int) -> str:
    """Return what --allow-fallback would do for the refused layers; nothing where it does not help."""
    mild = errors(_of_model(graph, target, replace(deployment, allow_fallback=True), ()))
    if len(mild) == count:
        return ""
    where = "are cut to the CPU" if target.fallback is not None else "stay float"
    return f" Or give --allow-fallback: such layers {where}."


def with_fallback(recipe: Recipe, refused: Mapping[str, str], target: Target) -> Recipe:
    """Return the recipe with a rule in front for each layer that falls back."""
    rules = tuple(
        Rule(
            match=glob.escape(name), target=target.name, precision=target.floats[0], because=because
        )
        for name, because in _reasons(refused, target).items()
    )
    return replace(recipe, rules=(*rules, *recipe.rules))


def fallen_back(graph: Graph, plan: Plan, refused: Mapping[str, str], target: Target) -> Plan:
    """Return a plan that was chosen before it was known what falls back, with those layers float."""
    return kept_float(graph, plan, _reasons(refused, target), target.floats[0])


def _reasons(refused: Mapping[str, str], target: Target) -> dict[str, str]:
    return {name: f"{target.title} cannot take it: {saw}" for name, saw in refused.items()}

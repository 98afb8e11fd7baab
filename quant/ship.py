"""Ship: everything that a target's folder holds, whole or not at all."""

__all__ = ["Shipped", "refuse_narrow", "refused_layers", "ship", "simulated", "with_fallback"]

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from quant.deploy import Deployment
from quant.errors import InputError
from quant.files import staged, write_json
from quant.finding import Finding, errors, findings_json
from quant.graph import Graph, save_model
from quant.layers import layers
from quant.narrow import unexportable
from quant.plan import Plan
from quant.plan_file import save_plan
from quant.plan_graph import GRAPH_FILE, save_graph
from quant.profile_file import save_profile
from quant.recipe import Recipe, Rule
from quant.simulate import quantize_graph
from quant.target import Exported, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """What was written for one target.

    Attributes:
        exported: By the target's own writer.
        findings: Of the checks of the graph and of the files.
    """

    exported: Exported
    findings: tuple[Finding, ...]


def simulated(graph: Graph, plan: Plan, target: Target) -> ir.Model:
    """Return the graph that computes in ONNX Runtime what the target will compute."""
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
    with staged(folder) as scratch:
        narrow = _narrow(plan, target)
        exported = Exported(files=()) if narrow else target.write(graph, plan, scratch, deployment)
        if prepared is not None and prepared.fingerprint != graph.fingerprint:
            save_graph(graph, prepared.fingerprint, scratch / GRAPH_FILE)
            if deployment.profile is not None:
                save_profile(deployment.profile, scratch / "profile.safetensors")
        save_plan(plan, scratch / "plan.json")
        save_model(simulated(graph, plan, target), scratch / "simulated.onnx")
        found: list[Finding] = [_simulated_only(narrow, target)] if narrow else []
        if target.check_model is not None:
            found += target.check_model(graph, deployment)
        if target.check_export is not None and not narrow:
            found += target.check_export(scratch, deployment)
        write_json(scratch / "check.json", findings_json(target.name, found))
    return Shipped(exported=exported, findings=tuple(found))


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


def refused_layers(graph: Graph, target: Target, deployment: Deployment) -> Mapping[str, str]:
    """Return the layers that the target cannot take and that fall back, each with what was seen.

    Raises:
        InputError: There are some and `allow_fallback` is off, or one of them cannot fall back.
    """
    if target.check_model is None:
        return {}
    strict = errors(target.check_model(graph, replace(deployment, allow_fallback=False)))
    left = errors(target.check_model(graph, deployment))
    if left:
        more = f" ({len(left) - 1} more; quant check --target {target.name} lists them)"
        hint = "" if deployment.allow_fallback else " Or give --allow-fallback, where it helps."
        raise InputError(f"{graph.source}: {left[0]}{more if len(left) > 1 else ''}{hint}")
    seen = {f.layer: f.saw for f in strict if f.layer is not None}
    leaving = target.fallback(graph, seen) if target.fallback is not None and seen else seen
    names = {layer.name for layer in layers(graph)}
    return {n: seen.get(n, "it follows a refused layer") for n in leaving if n in names}


def with_fallback(recipe: Recipe, refused: Mapping[str, str], target: Target) -> Recipe:
    """Return the recipe with a rule in front for each layer that falls back."""
    rules = tuple(
        Rule(
            match=glob.escape(name),
            target=target.name,
            precision=target.floats[0],
            because=f"{target.title} cannot take it: {saw}",
        )
        for name, saw in refused.items()
    )
    return replace(recipe, rules=(*rules, *recipe.rules))

"""Ship: everything that a target's folder holds, whole or not at all."""

__all__ = ["WrittenTarget", "refuse_unexportable", "simulation_of", "write_target_folder"]

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir

from quant.common.errors import InputError
from quant.common.files import staged, write_json
from quant.deploy.fallback import model_findings, planned_floats
from quant.formats.emulated_integers import unexportable
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph, save_model
from quant.plan.file import save_plan
from quant.plan.fitted_graph import GRAPH_FILE, save_graph
from quant.plan.tensor_plans import Plan
from quant.profile.file import save_profile
from quant.simulate.simulated_graph import quantize_graph
from quant.target.check_plan import check_plan, check_whole
from quant.target.deployment import Deployment
from quant.target.finding import Finding, findings_json
from quant.target.table import Exported, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenTarget:
    """What was written for one target.

    Attributes:
        plan: As it was written: with `allow_fallback` some layers of the given one may be float.
        exported: By the target's own writer.
        findings: Of the checks of the graph and of the files.
    """

    plan: Plan = field(compare=False)
    exported: Exported
    findings: tuple[Finding, ...]


def simulation_of(graph: Graph, plan: Plan, target: Target) -> ir.Model:
    """Return the graph that computes in ONNX Runtime what the target will compute.

    Raises:
        InputError: The plan does not fit the graph.
    """
    check_plan(plan, graph, target)
    if target.simulate is not None:
        return target.simulate(graph, plan)
    return quantize_graph(graph, plan, target, weight_form="integer")


def write_target_folder(
    graph: Graph,
    plan: Plan,
    target: Target,
    folder: Path,
    deployment: Deployment,
    prepared: Graph | None = None,
) -> WrittenTarget:
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
        if deployment.allow_fallback and target.finalize_plan is not None:
            plan = target.finalize_plan(graph, plan)
        save_plan(plan, scratch / "plan.json")
        save_model(simulation_of(graph, plan, target), scratch / "simulated.onnx")
        found = _findings(graph, plan, target, scratch, deployment)
        told = findings_json(target.name, found) | {"files": sorted(exported.files)}
        write_json(scratch / "check.json", told)
        before = _earlier(folder)
    for name in before - set(exported.files):
        (folder / name).unlink(missing_ok=True)
    return WrittenTarget(plan=plan, exported=exported, findings=tuple(found))


def _narrow(plan: Plan, target: Target) -> list[Precision]:
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


def refuse_unexportable(plan: Plan, target: Target) -> None:
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
    before = model_findings(graph, target, deployment, planned_floats(plan))
    shown = {(f.rule, f.layer, f.saw) for f in after}
    return [*(f for f in before if (f.rule, f.layer, f.saw) not in shown), *after]

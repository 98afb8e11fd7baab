"""Everything that a target's folder holds, written whole or not at all."""

__all__ = ["TargetFolder", "WrittenTarget", "refuse_unexportable"]

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quant.common.errors import InputError, few
from quant.common.files import staged, write_json
from quant.deploy.fallback import model_findings, planned_floats
from quant.formats.emulated_integers import unexportable
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph, save_model
from quant.plan.file import save_plan
from quant.plan.fitted_graph import GRAPH_FILE, save_graph
from quant.plan.tensor_plans import Plan
from quant.profile.file import save_profile
from quant.simulate.open_plan import simulation_of
from quant.target.check_plan import check_whole
from quant.target.deployment import Deployment
from quant.target.finding import Finding, findings_json
from quant.target.table import Exported, Target

RESERVED = frozenset(
    {
        *("plan.json", "simulated.onnx", "check.json", GRAPH_FILE, "profile.safetensors"),
        *("samples.csv", "samples_integer.csv", "layers.csv"),
        *("analysis.csv", "analysis.safetensors", "search"),
    }
)
"""What `quant` itself writes into a target's folder: no target's writer may use these names."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFolder:
    """Where one target's files go, and what their writer must know.

    Attributes:
        path: The folder.
        target: The table.
        deployment: Preprocessing, profile and versions.
    """

    path: Path
    target: Target
    deployment: Deployment

    def write(self, graph: Graph, plan: Plan, prepared: Graph | None = None) -> WrittenTarget:
        """Write plan, simulation, the target's own files and what the checks find in them.

        Everything is written into a scratch folder beside `path` and moved when it is complete. Where
        `graph` has other weights than `prepared`, it is written too, with the deployment's profile, so
        that the plan can be exported again. What the target has no kernels for is only simulated.

        Raises:
            InputError: The plan does not fit, the target's writer uses a reserved name, or the folder
                cannot be written to.
        """
        target, deployment = self.target, self.deployment
        check_whole(plan, graph, target)
        with staged(self.path) as scratch:
            narrow = _narrow(plan, target)
            exported = (
                Exported(files=()) if narrow else target.write(graph, plan, scratch, deployment)
            )
            _check_names(target, exported)
            if prepared is not None and prepared.fingerprint != graph.fingerprint:
                save_graph(graph, prepared.fingerprint, scratch / GRAPH_FILE)
                if deployment.profile is not None:
                    save_profile(deployment.profile, scratch / "profile.safetensors")
            if deployment.allow_fallback and target.finalize_plan is not None:
                plan = target.finalize_plan(graph, plan)
            save_plan(plan, scratch / "plan.json")
            save_model(simulation_of(graph, plan, target), scratch / "simulated.onnx")
            findings = self._findings(graph, plan, scratch)
            listing = findings_json(target.name, findings) | {"files": sorted(exported.files)}
            write_json(scratch / "check.json", listing)
            before = _earlier(self.path)
        for name in before - set(exported.files):
            (self.path / name).unlink(missing_ok=True)
        return WrittenTarget(plan=plan, exported=exported, findings=tuple(findings))

    def _findings(self, graph: Graph, plan: Plan, scratch: Path) -> list[Finding]:
        """Return what the checks find in the files, and of the model what the files do not show."""
        target, deployment = self.target, self.deployment
        narrow = _narrow(plan, target)
        of_files = [_simulated_only(narrow, target)] if narrow else []
        if target.check_export is not None and not narrow:
            of_files = target.check_export(scratch, deployment)
        of_model = model_findings(graph, target, deployment, planned_floats(plan))
        shown = {(f.rule, f.layer, f.saw) for f in of_files}
        return [*(f for f in of_model if (f.rule, f.layer, f.saw) not in shown), *of_files]


def _check_names(target: Target, exported: Exported) -> None:
    """Refuse files that would be overwritten by those that every target's folder has."""
    taken = sorted({name for name in exported.files if name.split("/")[0] in RESERVED})
    if taken:
        raise InputError(
            f"target '{target.name}': its writer left {few(taken)}, which quant writes itself into "
            "every target's folder. Give the target's file another name."
        )


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
        listing = json.loads((folder / "check.json").read_text(encoding="utf-8"))
        names = [str(name) for name in listing["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    root = folder.resolve()
    inside = (name for name in names if (folder / name).resolve().is_relative_to(root))
    return {name for name in inside if (folder / name).is_file()}

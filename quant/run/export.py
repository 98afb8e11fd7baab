"""Write one target's folder from a saved plan, and check a model or an export for a target."""

__all__ = ["check_file", "export_plan"]

import tempfile
from pathlib import Path

import onnx

from quant.common.errors import InputError
from quant.common.progress import Progress
from quant.deploy.fallback import fallen_back, planned_floats, refused_layers
from quant.deploy.target_folder import TargetFolder, WrittenTarget, refuse_unexportable
from quant.job.settings import Job
from quant.load.given_model import GivenModel
from quant.load.onnx_file import read_proto
from quant.load.open_graph import open_graph
from quant.plan.file import load_plan
from quant.plan.fitted_graph import GRAPH_FILE, graph_for
from quant.profile.file import load_profile
from quant.run.material import deployment_of, open_material
from quant.target.check_plan import check_whole
from quant.target.deployment import Deployment
from quant.target.finding import Finding
from quant.target.table import TARGETS, Target


def export_plan(plan_path: Path, profile_path: Path | None, job: Job) -> WrittenTarget:
    """Write a target's folder, `job.out`, from a plan.

    Args:
        plan_path: plan.json of `quant choose` or of a run.
        profile_path: Profile, for files that list the range of every tensor; None leaves the
            ranges out.
        job: Model, preprocessing, chips and folder; `data` is "" where no samples are at hand.

    Raises:
        InputError: A file cannot be read or does not fit the model, or the target refuses a layer.
    """
    plan = load_plan(plan_path)
    target = TARGETS[plan.target]
    profile = load_profile(profile_path) if profile_path is not None else None
    material = open_material(job, Progress(quiet=True)) if job.data else None
    prepared = material.graph if material is not None else open_graph(job.model)[1]
    graph = graph_for(plan, plan_path, prepared)
    if profile is not None:
        if profile.provenance.graph == prepared.fingerprint != graph.fingerprint:
            raise InputError(
                f"{profile_path}: it is the profile of the model before --effort changed its weights, "
                f"and the plan is of {plan_path.parent / GRAPH_FILE}. Give "
                f"{plan_path.parent / 'profile.safetensors'}."
            )
        profile.must_match(place=str(profile_path), graph=graph.fingerprint)
    deployment = deployment_of(job, profile, material)
    check_whole(plan, graph, target)
    refused = refused_layers(graph, target, deployment, planned_floats(plan))
    plan = fallen_back(graph, plan, refused, target)
    refuse_unexportable(plan, target)
    folder = TargetFolder(path=job.out, target=target, deployment=deployment)
    return folder.write(graph, plan, prepared)


def check_file(path: Path | GivenModel, name: str, deployment: Deployment) -> list[Finding]:
    """Return what a target refuses or does badly in a model, an export's folder, or one file of it.

    Args:
        path: A float ONNX model, the folder of an export, or one file of an export; or a model in
            memory, float or quantized.
        name: Name of the target.
        deployment: The preprocessing and the chips that the files are for.

    Raises:
        InputError: The file cannot be read, or the target cannot check files of its kind.
    """
    target = TARGETS[name]
    if isinstance(path, GivenModel):
        if path.is_torch or not _is_quantized(path.model, target):
            return _model_findings(path, target, deployment)
        with tempfile.TemporaryDirectory(prefix="quant-") as folder:
            file = Path(folder, "model.onnx")
            onnx.save(path.model, file)
            return check_file(file, name, deployment)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder. Name a model, or an export's folder.")
    if path.is_file() and path.suffix == ".onnx" and not _is_quantized(read_proto(path), target):
        return _model_findings(str(path), target, deployment)
    if target.check_export is None:
        raise InputError(
            f"{path}: {target.title} has no check of exports. Give the float model, or another "
            "--target."
        )
    return target.check_export(path, deployment)


def _model_findings(
    source: str | GivenModel, target: Target, deployment: Deployment
) -> list[Finding]:
    if target.check_model is None:
        return []
    return target.check_model(open_graph(source)[1], deployment)


def _is_quantized(proto: onnx.ModelProto, target: Target) -> bool:
    """Return whether an ONNX model has operators of an export for the target."""
    return any(node.op_type in target.quantized_ops for node in proto.graph.node)

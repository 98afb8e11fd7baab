"""Write a TensorRT export: the Q/DQ graph, its implicit variant, build scripts and DEPLOY.md."""

__all__ = ["clip_weights", "write"]

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import UnsupportedError
from quant.common.files import write_text
from quant.export.qdq.save import save_checked
from quant.export.tensorrt.files.build_scripts import Build, build_py, build_sh, shape_ranges
from quant.export.tensorrt.files.deploy_page import FILES, deploy_md
from quant.export.tensorrt.files.implicit import no_implicit_reason, write_implicit
from quant.export.tensorrt.graph.layer_types import LayerType, layer_lists, layer_types
from quant.export.tensorrt.graph.names import Renamed, clean_names
from quant.export.tensorrt.graph.typed import with_types
from quant.export.tensorrt.version import Version, version_of
from quant.formats.number_format import Params
from quant.formats.precision import Precision
from quant.formats.short_floats import Float16
from quant.graph.edit import add_constant, free_name
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.deployment import Deployment
from quant.target.table import TARGETS, Exported, Target


def clip_weights(model: ir.Model, plan: Plan) -> None:
    """Clip, in place, the float weights of a Q/DQ graph to their grids.

    QuantizeLinear saturates at -128, and a narrow grid of the plan ends at -127: with clipped
    weights the graph gives the integers of the simulation.

    Args:
        model: A model with float weights, QuantizeLinear and DequantizeLinear.
        plan: Its narrow integer weights are clipped; others stay.
    """
    narrow = {
        t.tensor: t
        for t in plan.quantized
        if t.kind == "weight" and getattr(t.format, "narrow", False)
    }
    for node in list(model.graph):
        value = node.inputs[0] if node.op_type == "QuantizeLinear" else None
        tensor = narrow.get(str(value.name)) if value is not None else None
        if value is None or tensor is None or value.const_value is None:
            continue
        if not isinstance(tensor.params, Params):
            continue
        array, scale = value.const_value.numpy(), tensor.params.scale
        axis = getattr(tensor.format, "axis", None)
        shape = [1] * array.ndim
        if axis is not None:
            shape[axis] = -1
        scales = scale.reshape(shape if axis is not None else ())
        beyond = np.abs(np.rint(array / scales)) > 127
        if np.any(beyond):
            clipped = np.where(beyond, np.sign(array) * np.float32(127) * scales, array)
            _set_weight(model, node, clipped.astype(np.float32))


def _set_weight(model: ir.Model, node: ir.Node, array: NDArray[np.float32]) -> None:
    """Give a QuantizeLinear this weight; other readers keep the old one."""
    value = node.inputs[0]
    assert value is not None
    name = str(value.name)
    if len(value.uses()) == 1 and not value.is_graph_output():
        value.const_value = ir.tensor(array, name=name)
        return
    name = free_name(f"{name}_clipped", model.graph.initializers)
    node.replace_input_with(0, add_constant(model.graph, name, array, typed=False))


FP8 = ir.DataType.FLOAT8E4M3FN


DEFAULT = Deployment()


def write(graph: Graph, plan: Plan, folder: Path, deployment: Deployment = DEFAULT) -> Exported:
    """Write all files of the export, `model.onnx` first.

    Version 8: float weights with Q and DQ, flags of trtexec for types. Version 10: int8 weights
    with DQ, typed where the plan has float16 layers. Version 11: the same, always typed. For 8 and
    10 `implicit/` has the float graph with its calibration cache, unless the plan is not int8 or
    there is no profile. Names that TensorRT's lists and caches cannot hold are renamed.

    Raises:
        InputError: The plan does not fit the graph, or the version is none of TensorRT's.
        UnsupportedError: FP8 for version 8.
    """
    target, version = TARGETS["tensorrt"], version_of(deployment)
    # float16 is a type in the exported graph; it is a grid only in the simulation
    grids = {k: t for k, t in plan.tensors.items() if not isinstance(t.format, Float16)}
    plan = replace(plan, tensors=grids)
    renamed = clean_names(graph.clone())
    model = _explicit_model(graph, plan, target, version)
    arrays = [v.const_value for v in model.graph.initializers.values()]
    fp8 = any(t is not None and t.dtype == FP8 for t in arrays)
    if fp8 and version.major < 10:
        raise UnsupportedError(
            f"plan for '{target.name}': it has FP8 tensors, and TensorRT {version.major} has no "
            "FP8. Export for version 10 or 11."
        )
    own_renamed = clean_names(model, renamed)
    save_checked(model, folder / "model.onnx")
    build = _build(graph, plan, deployment, renamed, fp8=fp8)
    files = ["model.onnx"]
    if build.explicit_layers:
        write_text(folder / "layer_precisions.txt", layer_lists(build.explicit_layers))
        files.append("layer_precisions.txt")
    facts = _facts(build, model, own_renamed, no_implicit_reason(plan, deployment, version))
    if build.implicit and deployment.profile is not None:
        implicit_files, origins = write_implicit(graph, plan, folder, deployment.profile, build)
        files += implicit_files
        facts["implicit_scales"] = origins
    write_text(folder / "build.sh", build_sh(build))
    write_text(folder / "build.py", build_py(build))
    write_text(folder / "DEPLOY.md", deploy_md(graph, plan, deployment, build, facts))
    files += ["build.sh", "build.py", "DEPLOY.md"]
    _remove_stale(folder, files)
    return Exported(files=tuple(files), facts=facts)


def _build(
    graph: Graph, plan: Plan, deployment: Deployment, renamed: Renamed, *, fp8: bool
) -> Build:
    """Return the facts that the build scripts depend on."""
    version = version_of(deployment)
    half = any(layer.precision is Precision.FLOAT16 for layer in plan.layers.values())
    implicit = no_implicit_reason(plan, deployment, version) is None
    explicit_layers: tuple[LayerType, ...] = ()
    implicit_layers: tuple[LayerType, ...] = ()
    if half and version.major == 8:
        explicit_layers = tuple(layer_types(graph, plan, renamed.nodes, integer=False))
    if implicit:
        implicit_layers = tuple(layer_types(graph, plan, renamed.nodes, integer=True))
    return Build(
        version=version,
        typed=half and version.major >= 10,
        half=half and version.implicit,
        fp8=fp8,
        implicit=implicit,
        shapes=shape_ranges(graph, deployment, renamed.tensors),
        explicit_layers=explicit_layers,
        implicit_layers=implicit_layers,
    )


def _remove_stale(folder: Path, files: Sequence[str]) -> None:
    """Remove the files of an export for another version: two builds of one network must not mix."""
    for name in FILES:
        if name not in files:
            (folder / name).unlink(missing_ok=True)
    below = folder / "implicit"
    if below.is_dir() and not any(below.iterdir()):
        below.rmdir()


def _explicit_model(graph: Graph, plan: Plan, target: Target, version: Version) -> ir.Model:
    if version.major == 8:
        model = quantize_graph(graph, plan, target, weight_form="float")
        clip_weights(model, plan)
        return model
    return with_types(quantize_graph(graph, plan, target, weight_form="integer"), plan, graph)


def _facts(build: Build, model: ir.Model, renamed: Renamed, why_not: str | None) -> dict[str, Any]:
    return {
        "opset": model.graph.opset_imports.get("", 0),
        "trt_version": str(build.version),
        "flags": build.explicit_flags,
        "strongly_typed": build.typed or build.fp8 or build.version.major >= 11,
        "implicit": why_not is None,
        "no_implicit_because": why_not or "",
        "renamed_nodes": dict(renamed.nodes),
        "renamed_tensors": dict(renamed.tensors),
    }

"""Write the implicit INT8 variant of an export: the float network and the range of every tensor."""

__all__ = ["TensorScale", "no_implicit_reason", "tensor_scales", "write_implicit"]

from dataclasses import dataclass
from pathlib import Path

from quant.common.files import write_json, write_text
from quant.export.qdq.save import save_checked
from quant.export.tensorrt.files.build_scripts import Build
from quant.export.tensorrt.files.calibration_cache import cache_text, range_json, range_text
from quant.export.tensorrt.graph.layer_types import layer_lists
from quant.export.tensorrt.graph.names import clean_names
from quant.export.tensorrt.version import Version
from quant.formats.number_format import INT8, Params
from quant.graph.layer import absorbed
from quant.graph.layers import source_of
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.target.deployment import Deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorScale:
    """A tensor's scale and its origin.

    Attributes:
        scale: float32 value of largest magnitude / 127, above 0.
        origin: "plan": its own scale, or that of a tensor with the same numbers; "profile": from
            the largest magnitude in the profile; "activation": the scale behind the Relu or Clip
            that is fused with its producer; "dead": the profile has only zeros or no finite number,
            and the scale is 1.
    """

    scale: float
    origin: str


def tensor_scales(graph: Graph, plan: Plan, profile: Profile) -> dict[str, TensorScale]:
    """Return the scale of every float tensor of the float graph, in order of production.

    TensorRT fuses a convolution with the Relu or Clip behind it, so that the tensor between the two
    is never integer; it gets the scale of the fused output. Views share the scale of their source.

    Args:
        graph: The prepared graph.
        plan: Its int8 tensors keep their scales.
        profile: The profile of this graph; it decides for all other tensors.
    """
    planned: dict[str, float] = {}
    for tensor in plan.quantized:
        if tensor.kind == "activation" and isinstance(tensor.params, Params):
            planned.setdefault(source_of(graph, tensor.tensor), float(tensor.params.scale))
    own = {
        t.tensor: float(t.params.scale)
        for t in plan.quantized
        if t.kind == "activation" and isinstance(t.params, Params)
    }
    scales = {}
    for name in graph.activations:
        fused = _fused_output(graph, name)
        source = source_of(graph, fused)
        scale = own.get(fused, planned.get(source))
        if scale is not None:
            scales[name] = TensorScale(
                scale=scale, origin="plan" if fused == name else "activation"
            )
        else:
            scales[name] = _profiled_scale(
                profile, source, "profile" if fused == name else "activation"
            )
    return scales


def _fused_output(graph: Graph, name: str) -> str:
    """Return the tensor behind the Relu or Clip that is fused with `name`'s producer, or `name`."""
    behind = absorbed(graph.values[name])
    return str(behind.outputs[0].name) if behind is not None else name


def _profiled_scale(profile: Profile, source: str, origin: str) -> TensorScale:
    statistics = profile.tensors.get(source)
    if (
        statistics is None
        or not statistics.low <= statistics.high
        or not (statistics.low or statistics.high)
    ):
        return TensorScale(scale=1.0, origin="dead")
    return TensorScale(
        scale=float(INT8.parameters(statistics.low, statistics.high).scale), origin=origin
    )


def no_implicit_reason(plan: Plan, deployment: Deployment, version: Version) -> str | None:
    """Return the reason for no implicit variant, as the end of a sentence, or None."""
    if not version.implicit:
        return "TensorRT 11 has no calibration cache"
    if deployment.profile is None:
        return "there was no profile to take the ranges of all tensors from"
    others = [t for t in plan.quantized if getattr(t.format, "name", "") != "int8"]
    if others:
        name = getattr(others[0].format, "name", "no int8")
        return f"'{others[0].tensor}' is {name}, and a cache is for int8"
    return None


def write_implicit(
    graph: Graph, plan: Plan, folder: Path, profile: Profile, build: Build
) -> tuple[list[str], dict[str, int]]:
    """Write `implicit/` below a folder: the float graph, its cache, ranges and lists.

    Args:
        graph: The prepared graph.
        plan: A plan whose quantized tensors are all int8.
        folder: The folder of the export.
        profile: The profile of this graph, for tensors that the plan does not quantize.
        build: Gives the version for the cache, and `implicit_layers` for the lists.

    Returns:
        The files, relative to the folder, and the number of scales of each `TensorScale.origin`.
    """
    model = graph.clone()
    renamed = clean_names(model)
    save_checked(model, folder / "implicit" / "model.onnx")
    tensors = tensor_scales(graph, plan, profile)
    scales = {renamed.tensors.get(name, name): tensor.scale for name, tensor in tensors.items()}
    write_text(folder / "implicit" / "calibration.cache", cache_text(scales, str(build.version)))
    write_json(folder / "implicit" / "dynamic_range.json", range_json(scales))
    files = ["model.onnx", "calibration.cache", "dynamic_range.json"]
    if not any(":" in name for name in scales):
        write_text(folder / "implicit" / "dynamic_range.txt", range_text(scales))
        files.append("dynamic_range.txt")
    if build.implicit_layers:
        text = layer_lists(build.implicit_layers)
        write_text(folder / "implicit" / "layer_precisions.txt", text)
        files.append("layer_precisions.txt")
    counted: dict[str, int] = {}
    for tensor in tensors.values():
        counted[tensor.origin] = counted.get(tensor.origin, 0) + 1
    return [f"implicit/{name}" for name in files], dict(sorted(counted.items()))

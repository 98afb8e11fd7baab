"""The implicit twin of a TensorRT export: the float network and the range of every tensor."""

__all__ = ["TensorScale", "no_implicit", "tensor_scales", "write_implicit"]

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
    """One tensor's scale, and where it comes from.

    Attributes:
        scale: float32 value of largest magnitude / 127, above 0.
        origin: "plan": its own or that of a tensor with the same numbers; "profile": the largest
            magnitude that was seen; "activation": that of the Relu or Clip that its maker absorbs;
            "dead": nothing but zeros, or nothing finite, was seen, and the scale is 1.
    """

    scale: float
    origin: str


def tensor_scales(graph: Graph, plan: Plan, profile: Profile) -> dict[str, TensorScale]:
    """Return the scale of every float tensor of the float graph, in order of production.

    TensorRT fuses a convolution with the Relu or Clip behind it, so that what stands between the
    two never is integer; its scale is that of the fused output. Views share their source's.

    Args:
        graph: The prepared graph.
        plan: Its int8 tensors keep their scales.
        profile: Of this graph; it decides for the others.
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
    found = {}
    for name in graph.activations:
        fused = _fused(graph, name)
        source = source_of(graph, fused)
        scale = own.get(fused, planned.get(source))
        if scale is not None:
            found[name] = TensorScale(scale=scale, origin="plan" if fused == name else "activation")
        else:
            found[name] = _seen(profile, source, "profile" if fused == name else "activation")
    return found


def _fused(graph: Graph, name: str) -> str:
    """Return the tensor behind the Relu or Clip that the maker of `name` absorbs, or `name`."""
    behind = absorbed(graph.values[name])
    return str(behind.outputs[0].name) if behind is not None else name


def _seen(profile: Profile, source: str, origin: str) -> TensorScale:
    seen = profile.tensors.get(source)
    if seen is None or not seen.low <= seen.high or not (seen.low or seen.high):
        return TensorScale(scale=1.0, origin="dead")
    return TensorScale(scale=float(INT8.parameters(seen.low, seen.high).scale), origin=origin)


def no_implicit(plan: Plan, deployment: Deployment, version: Version) -> str | None:
    """Return why an export has no implicit twin, as the end of a sentence, or None."""
    if not version.implicit:
        return "TensorRT 11 has no calibration cache"
    if deployment.profile is None:
        return "there was no profile to take the ranges of all tensors from"
    odd = [t for t in plan.quantized if getattr(t.format, "name", "") != "int8"]
    if odd:
        return f"'{odd[0].tensor}' is {getattr(odd[0].format, 'name', 'no int8')}, and a cache is for int8"
    return None


def write_implicit(
    graph: Graph, plan: Plan, folder: Path, profile: Profile, build: Build
) -> tuple[list[str], dict[str, int]]:
    """Write `implicit/` below a folder: the float graph, its cache, ranges and lists.

    Args:
        graph: The prepared graph.
        plan: All int8.
        folder: Of the export.
        profile: Of this graph: the ranges of what the plan does not quantize.
        build: Its version stands in the cache, its `implicit_layers` in the lists.

    Returns:
        The files, relative to the folder, and how many scales come from where (`TensorScale`).
    """
    model = graph.clone()
    renamed = clean_names(model)
    save_checked(model, folder / "implicit" / "model.onnx")
    found = tensor_scales(graph, plan, profile)
    scales = {renamed.tensors.get(name, name): one.scale for name, one in found.items()}
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
    for one in found.values():
        counted[one.origin] = counted.get(one.origin, 0) + 1
    return [f"implicit/{name}" for name in files], dict(sorted(counted.items()))

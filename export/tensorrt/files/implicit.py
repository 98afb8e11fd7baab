"""The implicit twin of a TensorRT export: the float network and the range of every tensor."""

__all__ = ["no_implicit", "write_implicit"]

from pathlib import Path

from quant.common.files import write_json, write_text
from quant.export.qdq.save import save_checked
from quant.export.tensorrt.files.build_scripts import Build
from quant.export.tensorrt.files.calibration_cache import cache_text, range_json, range_text
from quant.export.tensorrt.files.tensorrt_ranges import tensor_scales
from quant.export.tensorrt.graph.layer_types import layer_lists
from quant.export.tensorrt.graph.names import clean_names
from quant.export.tensorrt.graph.version import Version
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.target.deployment import Deployment


def no_implicit(plan: Plan, deployment: Deployment, version: Version) -> str | None:
    """Return why an export has no implicit twin, as the end of a sentence, or None."""
    if not version.implicit:
        return "TensorRT 11 has no calibration cache"
    if deployment.profile is None:
        return "there was no profile to take the ranges of all tensors from"
    odd = [t for t in plan.quantized if getattr(t.number, "name", "") != "int8"]
    if odd:
        return f"'{odd[0].tensor}' is {getattr(odd[0].number, 'name', 'no int8')}, and a cache is for int8"
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

"""The scale of every float tensor: implicit INT8 wants one before and after each operator."""

__all__ = ["TensorScale", "tensor_scales"]

from dataclasses import dataclass

from quant.formats.number_format import INT8, Params
from quant.graph.layers import absorbed, source_of
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile


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

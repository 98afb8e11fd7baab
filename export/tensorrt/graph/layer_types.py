"""Write per-layer precisions for trtexec 8 and 10: `--layerPrecisions=Conv_0:fp32,...`.

Source: trtexec 10.16 `sampleOptions.cpp`, lines 2689 to 2730.
"""

__all__ = ["LayerType", "layer_lists", "layer_types"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from quant.graph.layers import VIEWS
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan

TRTEXEC_NAMES = {"float32": "fp32", "float16": "fp16", "int8": "int8"}
"""Our precisions to trtexec's names; it has no per-layer option for others (fp8, int16)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerType:
    """The precision of one node.

    Attributes:
        node: The node's name in the exported graph.
        precision: "fp32", "fp16" or "int8".
        outputs: Number of its outputs.
    """

    node: str
    precision: str
    outputs: int


def layer_types(
    graph: Graph, plan: Plan, names: Mapping[str, str], *, integer: bool
) -> list[LayerType]:
    """Return the precision of every node that computes floats; a fused activation has its layer's.

    Views and nodes without float results are left out: they follow their inputs.

    Args:
        graph: The prepared graph.
        plan: Its layers' precisions.
        names: Old node name to new name, where the export renamed.
        integer: Whether int8 layers are listed; a Q/DQ graph does not need them.
    """
    types = []
    for layer in graph.layers:
        planned = plan.layers.get(layer.name)
        word = TRTEXEC_NAMES.get(planned.precision) if planned is not None else None
        if word is None or (word == "int8" and not integer):
            continue
        for node in [n for n in (layer.node, layer.activation) if n is not None]:
            kinds = {v.dtype for v in node.outputs if v.name}
            if node.op_type in VIEWS or not kinds <= {ir.DataType.FLOAT, None}:
                continue
            name = names.get(str(node.name), str(node.name))
            count = sum(bool(v.name) for v in node.outputs)
            types.append(LayerType(node=name, precision=word, outputs=count))
    return types


def layer_lists(types: Sequence[LayerType]) -> str:
    """Return the two options of trtexec, one per line; "" for no layers.

    Only float layers fix the type of their outputs: the output type of an int8 layer depends on its
    readers.
    """
    if not types:
        return ""
    precisions = ",".join(f"{t.node}:{t.precision}" for t in types)
    outputs = ",".join(
        f"{t.node}:{'+'.join([t.precision] * t.outputs)}" for t in types if t.precision != "int8"
    )
    lines = [f"--layerPrecisions={precisions}"]
    return "\n".join([*lines, *([f"--layerOutputTypes={outputs}"] if outputs else [])]) + "\n"

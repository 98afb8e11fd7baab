"""`quant.cfg` for AMCT's own calibration, and `keep_dtype.cfg` for operators that stay float32."""

__all__ = ["keep_dtype_text", "quant_cfg_text"]

from collections.abc import Container, Sequence

from google.protobuf import text_encoding

from quant.common.errors import UnsupportedError
from quant.export.atlas.graph.integer_layer import IntegerLayer
from quant.export.atlas.graph.limits import INTEGER_OPS
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan

COMMON = """common_config : {
    arq_quantize : {
        channel_wise : true
        quant_bits : 8
    }
    ifmr_quantize : {
        search_range_start : 0.7
        search_range_end : 1.3
        search_step : 0.01
        max_percentile : 0.999999
        min_percentile : 0.999999
        asymmetric : true
    }
}
"""
"""AMCT's defaults (`ptq_config.md`): only the choice of layers is ours."""

DENSE = """override_layer_types : {{
    layer_type : "{op}"
    calibration_config : {{
        arq_quantize : {{
            channel_wise : false
        }}
    }}
}}
"""


def quant_cfg_text(graph: Graph, integer_layers: Sequence[IntegerLayer]) -> str:
    """Return the file for AMCT's own calibration of the same layers, for a comparison."""
    integer_names = {layer.name for layer in integer_layers}
    skipped = [
        str(n.name)
        for n in graph.nodes
        if n.op_type in INTEGER_OPS and str(n.name) not in integer_names
    ]
    lines = ["batch_num : 1", "activation_offset : true"]
    lines += [f'skip_layers : "{text_encoding.CEscape(name, as_utf8=False)}"' for name in skipped]
    lines.append("do_fusion : false")  # BatchNorm is folded already
    dense = sorted({layer.node.op_type for layer in integer_layers} & {"Gemm", "MatMul"})
    return "\n".join(lines) + "\n" + COMMON + "".join(DENSE.format(op=op) for op in dense)


def keep_dtype_text(
    graph: Graph, plan: Plan, integer_layers: Sequence[IntegerLayer], names: Container[str]
) -> str | None:
    """Return a node name per line for ATC's --keep_dtype; None when no layer is to stay float32.

    A layer is an operator with the Relu or Clip behind it. The bias Add of an INT8 MatMul is not.

    Args:
        graph: The prepared graph.
        plan: Its layers with the precision "float32" are listed; others are FP16 on the chip.
        integer_layers: The INT8 layers.
        names: Names of the nodes of the deploy model.

    Raises:
        UnsupportedError: A name has a line break, which the file cannot hold.
    """
    integer_names = {
        str(node.name) for layer in integer_layers for node in (layer.node, layer.last_node)
    }
    names_kept = [
        str(node.name)
        for layer in graph.layers
        if layer.name in plan.layers and plan.layers[layer.name].precision is Precision.FLOAT32
        for node in (layer.node, layer.activation)
        if node is not None and node.name not in integer_names and node.name in names
    ]
    for name in names_kept:
        if name.splitlines() != [name] or name != name.strip():
            raise UnsupportedError(
                f"node {name!r}: keep_dtype.cfg holds a name per line, saw a line break or a space "
                "at an end. Rename the node."
            )
    return "".join(f"{name}\n" for name in names_kept) or None

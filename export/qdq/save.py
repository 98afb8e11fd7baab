"""Save a Q/DQ model with the producer's name and version, and count its nodes."""

__all__ = ["count_nodes", "save_checked"]

from collections import Counter
from pathlib import Path

import onnx
import onnx_ir as ir

from quant.common.version import VERSION
from quant.graph.prepared_graph import PROTO_LIMIT, model_bytes, save_model


def save_checked(model: ir.Model, path: Path) -> None:
    """Write a quantized model; a model under 2 GiB passes onnx's checker first."""
    model.producer_name, model.producer_version = "quant", VERSION
    if model_bytes(model) <= PROTO_LIMIT:
        onnx.checker.check_model(ir.to_proto(model))
    save_model(model, path)


def count_nodes(model: onnx.ModelProto) -> dict[str, int]:
    """Return how many nodes of each operator type a model has, most frequent first."""
    return dict(Counter(node.op_type for node in model.graph.node).most_common())

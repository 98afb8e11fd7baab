"""Write ONNX Runtime's folder, and count the integer kernels that it runs."""

__all__ = ["integer_share", "write"]

import tempfile
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import onnxruntime as ort

from quant.export.qdq.save import count_nodes, save_checked
from quant.graph.prepared_graph import WEIGHTED, Graph, weight_of
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.deployment import Deployment
from quant.target.table import TARGETS, Exported

DENSE_KERNELS = ("QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "MatMulInteger")
"""Integer kernels of Gemm and MatMul; ONNX Runtime chooses among them."""


DEFAULT = Deployment()


def write(graph: Graph, plan: Plan, folder: Path, deployment: Deployment = DEFAULT) -> Exported:
    """Write `model.onnx`, and count the integer kernels in ONNX Runtime's own optimized graph."""
    path = folder / "model.onnx"
    model = quantize_graph(graph, plan, TARGETS["onnxruntime"])
    _keep_float(model)
    save_checked(model, path)
    return Exported(files=("model.onnx",), facts={"integer_kernels": integer_share(path)})


def _keep_float(model: ir.Model) -> None:
    """Put a Sum of one operand, a copy, before the data of each float layer that reads integers.

    Between DequantizeLinear and QuantizeLinear ONNX Runtime would quantize the weight by itself
    (WeightBiasQuantization, since 1.21), against the plan: for a ConvTranspose at the price of
    accuracy and without an integer kernel. An Identity in its place is optimized away.
    """
    for node in list(model.graph):
        producer = node.inputs[0].producer() if node.inputs and node.inputs[0] else None
        reads = producer is not None and producer.op_type == "DequantizeLinear"
        if reads and node.op_type != "MatMul" and weight_of(node) is not None:
            copy = ir.node("Sum", [node.inputs[0]], name=f"{node.name}_keep_float")
            copy.outputs[0].name = f"{node.name}_keep_float_Output"
            model.graph.insert_before(node, [copy])
            node.replace_input_with(0, copy.outputs[0])


def integer_share(path: Path) -> dict[str, Any]:
    """Return how many weighted nodes ONNX Runtime executes in integers.

    It lets ONNX Runtime optimize the model, reads the optimized graph back and counts: a silent
    float fallback has perfect parity, so parity alone proves nothing.

    Returns:
        `by_op`: for each operator with constant weights `[integer, all]`; `nodes`: every operator type
        of the optimized graph and its count; `share`: integer / all, from 0 to 1.
    """
    with tempfile.TemporaryDirectory() as scratch:
        optimized = Path(scratch) / "optimized.onnx"
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(optimized)
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", "weights.bin"
        )
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes", "1024"
        )
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        nodes = count_nodes(onnx.load(optimized, load_external_data=False))
    weighted = _weighted(onnx.load(path, load_external_data=False))
    dense = sum(nodes.get(kernel, 0) for kernel in DENSE_KERNELS)
    gemm = min(dense, weighted["Gemm"])
    fast = {"Conv": nodes.get("QLinearConv", 0), "Gemm": gemm, "MatMul": dense - gemm}
    by_op = {op: [min(fast.get(op, 0), count), count] for op, count in weighted.items() if count}
    total = sum(count for _, count in by_op.values())
    share = sum(fast for fast, _ in by_op.values()) / total if total else 0.0
    return {"by_op": by_op, "share": share, "nodes": nodes}


def _weighted(model: onnx.ModelProto) -> dict[str, int]:
    """Return how many nodes of each weighted operator have a constant weight, quantized or not."""
    constant = {i.name for i in model.graph.initializer}
    for node in model.graph.node:  # in topological order: Q and DQ of a constant are constant
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] in constant:
            constant.update(node.output)
    counts = dict.fromkeys(WEIGHTED, 0)
    for node in model.graph.node:
        if node.op_type in counts and len(node.input) > 1 and node.input[1] in constant:
            counts[node.op_type] += 1
    return counts

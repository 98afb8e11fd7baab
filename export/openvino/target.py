"""OpenVINO: Q/DQ ONNX, uint8 activations and int8 weights, quantized once where integers are read."""

__all__ = ["OPENVINO", "write"]

from pathlib import Path

from quant.common.files import write_text
from quant.export.openvino.check.run_rules import RULES, check_export, check_model
from quant.export.openvino.files.deploy_page import deploy_md
from quant.export.qdq.quantize_once import quantize_once
from quant.export.qdq.save import count_nodes, save_checked
from quant.formats.number_format import UINT8, Integer
from quant.graph.prepared_graph import Graph
from quant.load.onnx_file import read_proto
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.deployment import Deployment
from quant.target.table import TARGETS, Exported, Target

USUAL = Deployment()


def write(graph: Graph, plan: Plan, folder: Path, deployment: Deployment = USUAL) -> Exported:
    """Write `model.onnx`, which OpenVINO reads as it is, and DEPLOY.md.

    Facts: `quantizers`, the QuantizeLinear nodes of the graph, and `repeated`, those that were left
    out because what they read already lies on their grid.

    Raises:
        InputError: The plan does not fit the graph.
    """
    model = quantize_graph(graph, plan, OPENVINO)
    repeated = quantize_once(model)
    save_checked(model, folder / "model.onnx")
    write_text(folder / "DEPLOY.md", deploy_md(graph, plan, deployment))
    nodes = count_nodes(read_proto(folder / "model.onnx"))
    facts = {"quantizers": nodes.get("QuantizeLinear", 0), "repeated": repeated}
    return Exported(files=("model.onnx", "DEPLOY.md"), facts=facts)


OPENVINO = Target(
    name="openvino",
    title="OpenVINO",
    formats={"int8": (UINT8, Integer(bits=8, signed=True, symmetric=True, narrow=True))},
    bias=None,
    weighted=frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"}),
    others=frozenset({"Add"}),
    views=frozenset(
        {
            *("MaxPool", "Slice", "Split", "Pad"),
            *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"),
        }
    ),
    joined=frozenset({"Concat"}),
    outputs=frozenset(),
    quantizers="reader",
    residual=True,
    weight_form="integer",
    source=(
        "OpenVINO documentation, 'Low Precision Transformations' and 'Low Precision IR'; NNCF's "
        "placement (quantizers move up past what leaves numbers as they are, inputs of an Add have "
        "one each); what the CPU plugin of 2026.4.1 executes, layer by layer: biases stay float, "
        "average pools gain nothing from integers"
    ),
    write=write,
    check_model=check_model,
    check_export=check_export,
    rules=RULES,
)
TARGETS.add("openvino")(OPENVINO)

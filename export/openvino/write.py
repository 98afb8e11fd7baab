"""Write OpenVINO's folder: the Q/DQ graph and its deployment page."""

__all__ = ["write"]

from pathlib import Path

from quant.common.files import write_text
from quant.export.openvino.files.deploy_page import deploy_md
from quant.export.qdq.quantize_once import quantize_once
from quant.export.qdq.save import count_nodes, save_checked
from quant.graph.prepared_graph import Graph
from quant.load.onnx_file import read_proto
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.deployment import Deployment
from quant.target.table import TARGETS, Exported

DEFAULT = Deployment()


def write(graph: Graph, plan: Plan, folder: Path, deployment: Deployment = DEFAULT) -> Exported:
    """Write `model.onnx`, which OpenVINO reads as it is, and DEPLOY.md.

    Facts: `quantizers`, the number of QuantizeLinear nodes, and `repeated`, the number of nodes
    that were removed because their input already lies on their grid.

    Raises:
        InputError: The plan does not fit the graph.
    """
    model = quantize_graph(graph, plan, TARGETS["openvino"])
    repeated = quantize_once(model)
    save_checked(model, folder / "model.onnx")
    write_text(folder / "DEPLOY.md", deploy_md(graph, plan, deployment))
    nodes = count_nodes(read_proto(folder / "model.onnx"))
    facts = {"quantizers": nodes.get("QuantizeLinear", 0), "repeated": repeated}
    return Exported(files=("model.onnx", "DEPLOY.md"), facts=facts)

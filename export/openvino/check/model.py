"""Check a float graph: what OpenVINO's reader does not convert, and layers that stay float."""

__all__ = ["check_model"]

from quant.export.openvino.check.graph import finding, operator_findings
from quant.graph.prepared_graph import Graph
from quant.target.deployment import Deployment
from quant.target.finding import Finding, in_order


def check_model(graph: Graph, deployment: Deployment) -> list[Finding]:
    """Return the findings on a prepared float graph, before anything is written."""
    findings = list(operator_findings(graph.model))
    for node in graph.nodes:
        if node.op_type == "ConvTranspose" and node.attributes.get_int("group", 1) > 1:
            saw, wanted = "a ConvTranspose with groups", "none: it is computed in float"
            mend = "Nothing to do: it runs at float's speed."
            findings.append(finding(10, "warning", node, saw=saw, wanted=wanted, mend=mend))
    return in_order(findings)

"""OpenVINO: Q/DQ ONNX, uint8 activations and int8 weights, quantized where integers are read."""

__all__ = ["OPENVINO"]

from pathlib import Path
from typing import TYPE_CHECKING

from quant.export.openvino.check.rules import RULES
from quant.formats.number_format import UINT8, Integer
from quant.formats.precision import Precision
from quant.runtimes.openvino import OPENVINO_CPU
from quant.target.finding import Finding
from quant.target.table import TARGETS, Exported, Target

if TYPE_CHECKING:
    from quant.graph.prepared_graph import Graph
    from quant.plan.tensor_plans import Plan
    from quant.target.deployment import Deployment


def _write(graph: "Graph", plan: "Plan", folder: Path, deployment: "Deployment") -> Exported:
    from quant.export.openvino.write import write

    return write(graph, plan, folder, deployment)


def _check_model(graph: "Graph", deployment: "Deployment") -> list[Finding]:
    from quant.export.openvino.check.model import check_model

    return check_model(graph, deployment)


def _check_export(path: Path, deployment: "Deployment") -> list[Finding]:
    from quant.export.openvino.check.run_rules import check_export

    return check_export(path, deployment)


OPENVINO = Target(
    name="openvino",
    title="OpenVINO",
    formats={Precision.INT8: (UINT8, Integer(bits=8, signed=True, symmetric=True, narrow=True))},
    bias=None,
    weighted_ops=frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"}),
    integer_ops=frozenset({"Add"}),
    passthrough_ops=frozenset(
        {
            *("MaxPool", "Slice", "Split", "Pad"),
            *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"),
        }
    ),
    shared_grid_ops=frozenset({"Concat"}),
    integer_output_ops=frozenset(),
    quantize_at="reader",
    fuses_residual_add=True,
    weight_form="integer",
    source=(
        "OpenVINO documentation, 'Low Precision Transformations' and 'Low Precision IR'; NNCF's "
        "placement (quantizers move up past what leaves numbers as they are, inputs of an Add have "
        "one each); what the CPU plugin of 2026.4.1 executes, layer by layer: biases stay float, "
        "average pools gain nothing from integers"
    ),
    write=_write,
    check_model=_check_model,
    check_export=_check_export,
    rules=RULES,
    runtimes=(OPENVINO_CPU,),
)


TARGETS.add("openvino")(OPENVINO)

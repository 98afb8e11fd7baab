"""Atlas (Ascend): a deploy model for ATC, with its record, its scripts and its simulation."""

__all__ = ["ATLAS"]

from pathlib import Path
from typing import TYPE_CHECKING

from quant.export.atlas.check.rules import RULES
from quant.export.atlas.devices import DEVICES
from quant.export.atlas.version import SOC_VERSION
from quant.formats.number_format import INT32, Integer
from quant.formats.precision import Precision
from quant.target.finding import Finding
from quant.target.table import QUANTIZED_OPS, TARGETS, Exported, Target

if TYPE_CHECKING:
    import onnx_ir as ir

    from quant.graph.prepared_graph import Graph
    from quant.plan.tensor_plans import Plan
    from quant.target.deployment import Deployment


def _write(graph: "Graph", plan: "Plan", folder: Path, deployment: "Deployment") -> Exported:
    from quant.export.atlas.write import write

    return write(graph, plan, folder, deployment)


def _simulated(graph: "Graph", plan: "Plan") -> "ir.Model":
    from quant.export.atlas.graph.simulate import simulated

    return simulated(graph, plan)


def _check_model(graph: "Graph", deployment: "Deployment") -> list[Finding]:
    from quant.export.atlas.check.model import check_model

    return check_model(graph, deployment)


def _check_export(path: Path, deployment: "Deployment") -> list[Finding]:
    from quant.export.atlas.check.run_rules import check_export

    return check_export(path, deployment)


def _settled(graph: "Graph", plan: "Plan") -> "Plan":
    from quant.export.atlas.graph.fallback import finalized_plan

    return finalized_plan(graph, plan)


ATLAS = Target(
    name="atlas",
    title="Atlas (Ascend)",
    aliases=("ascend",),
    formats={
        Precision.INT8: (
            Integer(bits=8, signed=True, symmetric=False),
            Integer(bits=8, signed=True, symmetric=True),
        )
    },
    float_precisions=(Precision.FLOAT16, Precision.FLOAT32),
    best_precision=Precision.FLOAT16,
    bias=INT32,
    weighted_ops=frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"}),
    per_tensor_ops=frozenset({"Gemm", "MatMul"}),
    integer_ops=frozenset({"AveragePool"}),
    passthrough_ops=frozenset(),
    shared_grid_ops=frozenset(),
    integer_output_ops=frozenset(),
    quantize_at="reader",
    fuses_residual_add=False,
    quantized_ops=QUANTIZED_OPS | {"AscendQuant"},
    weight_form="integer",
    source=(
        "CANN, ATC guide, quantization_layers_constraints; AMCT (open source, amct_pytorch): deploy "
        "model, record file and its checks; CANN, graph development guide, 'manual quantization'"
    ),
    write=_write,
    simulate=_simulated,
    check_model=_check_model,
    check_export=_check_export,
    finalize_plan=_settled,
    rules=RULES,
    version=SOC_VERSION,
    devices=DEVICES,
)
TARGETS.add("atlas")(ATLAS)

"""NNIE: the neural engine of HiSilicon cameras, on its logarithmic grid of 8 or 16 bits."""

__all__ = ["NNIE"]

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from quant.export.nnie.check.rules import RULES
from quant.export.nnie.devices import DEVICES
from quant.export.nnie.version import NNIE_VERSION
from quant.formats.gfpq import GFPQ8, GFPQ16
from quant.formats.precision import Precision
from quant.target.finding import Finding
from quant.target.table import TARGETS, Exported, Target

if TYPE_CHECKING:
    from quant.graph.prepared_graph import Graph
    from quant.plan.tensor_plans import Plan
    from quant.target.deployment import Deployment


def _write(graph: "Graph", plan: "Plan", folder: Path, deployment: "Deployment") -> Exported:
    from quant.export.nnie.write import write

    return write(graph, plan, folder, deployment)


def _check_model(graph: "Graph", deployment: "Deployment") -> list[Finding]:
    from quant.export.nnie.check.model import check_model

    return check_model(graph, deployment)


def _check_export(path: Path, deployment: "Deployment") -> list[Finding]:
    from quant.export.nnie.check.run_rules import check_export

    return check_export(path, deployment)


def _on_the_host(graph: "Graph", deployment: "Deployment") -> Collection[str]:
    """Return the nodes that the host's CPU computes, behind NNIE or in between."""
    from quant.export.nnie.graph.split import split_graph
    from quant.target.deployment import sample_shapes

    sizes = {name: shape for name, shape in sample_shapes(graph, deployment).items() if all(shape)}
    split = split_graph(graph, sizes, fallback=True)
    on_chip = {str(node.name) for node in split.head.nodes} - split.custom
    return [str(node.name) for node in graph.nodes if str(node.name) not in on_chip]


NNIE = Target(
    name="nnie",
    title="NNIE",
    formats={Precision.INT8: (GFPQ8, GFPQ8), Precision.INT16: (GFPQ16, GFPQ16)},
    best_precision=Precision.INT16,
    bias=None,
    weighted_ops=frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"}),
    integer_ops=frozenset(
        {"Add", "Sub", "Sum", "Max", "MaxPool", "AveragePool", "Concat", "Resize"}
    ),
    passthrough_ops=frozenset(),
    shared_grid_ops=frozenset(),
    integer_output_ops=frozenset(),
    quantize_at="reader",
    fuses_residual_add=False,
    no_float_unit=True,
    grid_per_group=True,
    observers=("minmax",),
    weight_form="float",
    source=(
        "HiSilicon, HiSVP development guide as quoted by its users: one delta for each input of a "
        "layer and for its weight, of a group where there are groups; not for ReLU, PReLU, Sigmoid, "
        "Reshape, Flatten, Softmax, Clip, global pooling and Mul. MQBench, docs/nnie.rst"
    ),
    write=_write,
    check_model=_check_model,
    check_export=_check_export,
    fallback=_on_the_host,
    rules=RULES,
    version=NNIE_VERSION,
    devices=DEVICES,
)
TARGETS.add("nnie")(NNIE)

"""What the tests of the Atlas export share: plans, by the tool or by hand, and runs of both models."""

__all__ = ["atlas_plan", "by_hand", "run_simulated", "sqnr_db"]

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from quant.choose.weight_grids import weight_range
from quant.export.atlas.graph.limits import INTEGER_OPS
from quant.formats.number_format import Integer, Params
from quant.graph.layers import weight_axis
from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.recipe import Recipe, Rule
from quant.plan.tensor_plans import LayerPlan, Plan, TensorPlan
from tests.chosen import chosen

ACTIVATION = Integer(bits=8, signed=True, symmetric=False)
WEIGHT = Integer(bits=8, signed=True, symmetric=True)
DENSE = ("Gemm", "MatMul")


def atlas_plan(proto: onnx.ModelProto) -> tuple[Graph, Plan]:
    """Return the prepared graph and the tool's plan, dense weights with one scale."""
    from quant.plan.recipe import NOTHING

    graph, _ = chosen(proto, "atlas", NOTHING)
    held = sorted({n.op_type for n in graph.nodes} & set(DENSE))
    recipe = Recipe(rules=tuple(Rule(op=op, weights="per-tensor") for op in held))
    return chosen(proto, "atlas", recipe)


def by_hand(
    graph: Graph,
    grids: Mapping[str, tuple[float, int]],
    *,
    shifts: Mapping[str, NDArray[np.float32]] | None = None,
    per_tensor: tuple[str, ...] = DENSE,
    precisions: Mapping[str, str] | None = None,
) -> Plan:
    """Return a plan in which every layer that reads one of these tensors is int8.

    Args:
        graph: The prepared graph.
        grids: Scale and zero point by tensor name.
        shifts: Bias shifts by layer.
        per_tensor: Operators whose weight has one scale.
        precisions: Of the other layers; "float16" where nothing is said.
    """
    plans: dict[str, LayerPlan] = {}
    tensors: dict[str, TensorPlan] = {}
    readers: dict[str, list[tuple[str, int]]] = {}
    for layer in graph.layers:
        first = layer.node.inputs[0] if layer.node.inputs else None
        whole = layer.op in INTEGER_OPS and first is not None and first.name in grids
        precision = "int8" if whole else (precisions or {}).get(layer.name, "float16")
        plans[layer.name] = LayerPlan(
            layer=layer.name, op=layer.op, precision=precision, because="by hand"
        )
        if not whole or first is None:
            continue
        readers.setdefault(str(first.name), []).append((layer.name, 0))
        weight = weight_of(layer.node)
        if weight is not None:
            axis = None if layer.op in per_tensor else weight_axis(layer.node)
            number = WEIGHT.with_axis(axis)
            tensors[str(weight.name)] = TensorPlan(
                tensor=str(weight.name),
                kind="weight",
                format=number,
                params=weight_range(graph.array(str(weight.name)), number),
                because="by hand",
            )
    for name, (scale, zero) in grids.items():
        tensors[name] = TensorPlan(
            tensor=name,
            kind="activation",
            format=ACTIVATION,
            params=Params(scale=np.array(scale, np.float32), zero_point=np.array(zero, np.int32)),
            readers=tuple(readers.get(name, ())),
            because="by hand",
        )
    return Plan(
        target="atlas",
        graph=graph.fingerprint,
        layers=plans,
        tensors=tensors,
        bias_shifts=dict(shifts or {}),
    )


def run_simulated(
    model: ir.Model, feeds: Mapping[str, NDArray[Any]], *, optimize: bool = True
) -> list[NDArray[Any]]:
    """Return what stock ONNX Runtime computes."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), options)
    made: list[NDArray[Any]] = session.run(None, dict(feeds))
    return made


def sqnr_db(wanted: NDArray[Any], made: NDArray[Any]) -> float:
    """Return 10 log10(signal / noise), in float64."""
    signal = (wanted.astype(np.float64) ** 2).sum()
    noise = ((wanted.astype(np.float64) - made) ** 2).sum()
    return float("inf") if noise == 0 else float(10 * np.log10(signal / noise))

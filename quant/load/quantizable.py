"""The layers of a graph that can be quantized, and why there may be none."""

__all__ = ["refuse_layers"]

from collections.abc import Iterable, Iterator

import numpy as np
import onnx_ir as ir

from quant.common.errors import InputError, UnsupportedError
from quant.graph.prepared_graph import WEIGHTED
from quant.load.refusals import PLAIN, label

OTHER_FLOATS = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)
TRAINED = (*WEIGHTED, "BatchNormalization")


def refuse_layers(model: ir.Model, place: str) -> None:
    """Raise unless a layer has a constant weight, and the trained numbers are finite float32.

    Raises:
        UnsupportedError: No Conv, ConvTranspose, Gemm or MatMul has a constant weight, or one has
            its weight in another float type.
        InputError: A trained initializer holds NaN or infinity.
    """
    constant = _constants(model.graph)
    layers = [n for n in model.graph if _is(n, WEIGHTED) and _second(n) in constant]
    if not layers:
        raise UnsupportedError(
            f"{place}: A model must have a layer to quantize, and none of its {len(model.graph)} "
            "nodes is a Conv, ConvTranspose, Gemm or MatMul with a constant weight. "
            "Give a model that has one."
        )
    for node in layers:
        weight = _second(node)
        assert weight is not None
        tensor = ir.convenience.get_const_tensor(weight)
        dtype = tensor.dtype if tensor is not None else weight.dtype
        if dtype in OTHER_FLOATS:
            raise UnsupportedError(
                f"{place}, node '{label(node)}': Weights must be float32, and '{weight.name}' is "
                f"{dtype.name.lower()}. Export the model as float32."
            )
    _refuse_non_finite(_trained(model.graph), place)


def _is(node: ir.Node, types: Iterable[str]) -> bool:
    return node.domain in PLAIN and node.op_type in types


def _second(node: ir.Node) -> ir.Value | None:
    return node.inputs[1] if len(node.inputs) > 1 else None


def _constants(graph: ir.Graph) -> set[ir.Value | None]:
    """Return the values of the sorted main graph that depend on no input."""
    found: set[ir.Value | None] = set(graph.initializers.values())
    for node in graph:
        plain = all(a.type != ir.AttributeType.GRAPH for a in node.attributes.values())
        if plain and all(v is None or v in found for v in node.inputs):
            found.update(node.outputs)
    return found


def _trained(graph: ir.Graph) -> Iterator[ir.Value]:
    for node in graph:
        if _is(node, TRAINED):
            yield from (v for v in node.inputs[1:] if v is not None)


def _refuse_non_finite(values: Iterable[ir.Value], place: str) -> None:
    for value in dict.fromkeys(values):
        tensor = ir.convenience.get_const_tensor(value)
        if tensor is None or not tensor.dtype.is_floating_point():
            continue
        numbers = tensor.numpy()
        bad = numbers.size - int(np.count_nonzero(np.isfinite(numbers)))
        if bad:
            raise InputError(
                f"{place}, initializer '{value.name}': Weights must be finite, saw {bad} of "
                f"{numbers.size} that are not. Train or export the model again."
            )

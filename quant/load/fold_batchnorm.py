"""Fold inference-mode BatchNormalization into the convolution or Gemm before it, in float64."""

__all__ = ["fold_batchnorm"]

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.graph.edit import add_constant, free_name
from quant.graph.prepared_graph import weight_of

F64 = NDArray[np.float64]


def fold_batchnorm(model: ir.Model) -> int:
    """Fold every foldable BatchNormalization of the main graph; return their number.

    ``w' = w * g / sqrt(v + e)`` and ``b' = (b - m) * g / sqrt(v + e) + beta`` per output channel.
    The layer keeps its name, the batch normalization's output keeps its own. A weight or bias that
    other nodes read is copied first. Source: Jacob et al. 2018, equation 14.
    """
    folded = 0
    for node in list(model.graph):
        layer = _layer_before(node)
        affine = _affine(node)
        if layer is not None and affine is not None and _fold(model.graph, layer, *affine):
            source, result = layer.outputs[0], node.outputs[0]
            name = result.name
            ir.convenience.replace_all_uses_with(result, source, replace_graph_outputs=True)
            model.graph.remove(node, safe=True)
            source.name = name
            folded += 1
    return folded


def _layer_before(node: ir.Node) -> ir.Node | None:
    """Return the layer whose only reader is this BatchNormalization."""
    if node.op_type != "BatchNormalization" or node.domain != "" or len(node.inputs) != 5:
        return None
    if node.attributes.get_int("training_mode", 0) or any(v.uses() for v in node.outputs[1:]):
        return None
    value = node.inputs[0]
    layer = value.producer() if value is not None else None
    if value is None or layer is None or layer.op_type == "MatMul" or weight_of(layer) is None:
        return None
    alone = len(value.uses()) == 1 and not value.is_graph_output() and layer.graph is node.graph
    return layer if alone else None


def _affine(node: ir.Node) -> tuple[F64, F64] | None:
    """Return a BatchNormalization's factor and offset per channel, float64 `[C]`."""
    parameters = [_numbers(value) for value in node.inputs[1:]]
    if len(parameters) != 4 or any(p is None for p in parameters):
        return None
    gain, beta, mean, variance = (p for p in parameters if p is not None)
    spread = variance + node.attributes.get_float("epsilon", 1e-5)
    if not np.all(spread > 0):
        return None
    factor = gain / np.sqrt(spread)
    return factor, beta - mean * factor


def _numbers(value: ir.Value | None) -> F64 | None:
    if value is None or not value.is_initializer() or value.const_value is None:
        return None
    return np.asarray(value.const_value.numpy(), np.float64)


def _fold(graph: ir.Graph, layer: ir.Node, factor: F64, offset: F64) -> bool:
    """Scale the weight and make the bias, or return False where the bias is none per channel."""
    weight = _numbers(layer.inputs[1])
    bias_input = layer.inputs[2] if len(layer.inputs) > 2 else None
    bias = np.zeros(len(factor)) if bias_input is None else _numbers(bias_input)
    if weight is None or bias is None:
        return False
    if layer.op_type == "Gemm":
        bias = bias * layer.attributes.get_float("beta", 1.0)
        if bias.size not in (1, len(factor)) or (bias.ndim == 2 and bias.shape[0] != 1):
            return False
        layer.attributes.pop("beta", None)
    bias = np.broadcast_to(bias.reshape(-1), factor.shape) * factor + offset
    _store(graph, layer, 1, weight * _spread(layer, weight.shape, factor))
    _store(graph, layer, 2, bias)
    return True


def _spread(layer: ir.Node, shape: tuple[int, ...], factor: F64) -> F64:
    """Return the factor per output channel in a shape that multiplies the weight."""
    ones = [1] * (len(shape) - 2)
    if layer.op_type == "Gemm":
        transposed = layer.attributes.get_int("transB", 0)
        return factor.reshape([-1, 1] if transposed else [1, -1])
    if layer.op_type == "ConvTranspose":  # [C, M / groups, ...], group after group along C
        groups = layer.attributes.get_int("group", 1)
        table = np.repeat(factor.reshape(groups, shape[1]), shape[0] // groups, axis=0)
        return table.reshape([*shape[:2], *ones])
    return factor.reshape([-1, 1, *ones])


def _store(graph: ir.Graph, layer: ir.Node, index: int, numbers: NDArray[Any]) -> None:
    """Give the layer float32 numbers of its own as input `index`."""
    old = layer.inputs[index] if len(layer.inputs) > index else None
    array = np.ascontiguousarray(numbers, dtype=np.float32)
    if old is not None and len(old.uses()) == 1:
        old.const_value = ir.tensor(array, name=str(old.name))
        old.shape = ir.Shape(array.shape)
        return
    kind = "weight" if index == 1 else "bias"
    name = free_name(f"{layer.name}.{kind}", graph.initializers)
    if len(layer.inputs) <= index:
        layer.resize_inputs(index + 1)
    layer.replace_input_with(index, add_constant(graph, name, array))

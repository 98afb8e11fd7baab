"""Take the large weights out of a model for a while, so that 2 GB pass through a protobuf."""

__all__ = ["through_proto", "without_weights"]

from collections.abc import Callable

import onnx
import onnx_ir as ir

from quant.graph.prepared_graph import PROTO_LIMIT, model_bytes

LARGE = 1 << 20
"""Bytes over which a weight is taken out of a model that is too large for one protobuf."""


def without_weights(model: ir.Model, over: int) -> tuple[ir.Model, dict[str, ir.TensorProtocol]]:
    """Return a copy in which initializers of more than `over` bytes are inputs, and these tensors.

    External tensors of `over` bytes or less are read into memory.
    """
    copy = model.clone()
    graph, tensors = copy.graph, {}
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None:
            continue
        if tensor.nbytes > over:
            tensors[name] = tensor
            del graph.initializers[name]
            value.const_value = None
            value.shape, value.dtype = ir.Shape(tensor.shape.numpy()), tensor.dtype
            if not value.is_graph_input():
                graph.inputs.append(value)
        elif isinstance(tensor, ir.ExternalTensor):
            value.const_value = ir.tensor(tensor.numpy().copy(), dtype=tensor.dtype, name=name)
    return copy, tensors


def through_proto(
    model: ir.Model, change: Callable[[onnx.ModelProto], onnx.ModelProto]
) -> ir.Model:
    """Return `change` of the model, for changes that onnx and onnxslim make to protos.

    Over 1.9 GB the change sees large weights as inputs.
    """
    fits = model_bytes(model) <= PROTO_LIMIT
    copy, tensors = without_weights(model, PROTO_LIMIT if fits else LARGE)
    changed = ir.from_proto(change(ir.to_proto(copy)))
    graph = changed.graph
    for value in list(graph.inputs):
        tensor = tensors.get(str(value.name))
        if tensor is not None:
            graph.inputs.remove(value)
            value.const_value = tensor
            graph.register_initializer(value)
    return changed

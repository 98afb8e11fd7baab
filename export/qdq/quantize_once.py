"""Remove quantizers whose input already lies on their grid.

A plan gives both sides of a MaxPool, Transpose or Slice a quantizer with one grid. OpenVINO carries
the integers through the operator by itself, and executes the second quantizer as a separate pass
over the tensor, uint8 to uint8. NNCF places only the quantizer before the operator.
"""

__all__ = ["quantize_once"]

import numpy as np
import onnx_ir as ir

PASSING = frozenset(
    {
        *("MaxPool", "Slice", "Split", "Identity"),
        *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"),
    }
)
"""Operators that compute no new number. A Pad with a value other than zero does."""


def quantize_once(model: ir.Model) -> int:
    """Remove the Q/DQ pairs that round what is already rounded; return how many were removed.

    Quantizing again gives the same integers: `rint(scale * q / scale) = q` for |q| of 8 bits.
    """
    graph = model.graph
    removed = 0
    for node in list(graph):
        if node.op_type != "QuantizeLinear" or not _repeats(node):
            continue
        pairs = [use.node for use in node.outputs[0].uses()]
        if any(p.op_type != "DequantizeLinear" or p.outputs[0].is_graph_output() for p in pairs):
            continue
        source = node.inputs[0]
        for pair in pairs:
            for use in list(pair.outputs[0].uses()):
                use.node.replace_input_with(use.idx, source)
        graph.remove([*pairs, node], safe=True)
        removed += 1
    for name in [n for n, v in graph.initializers.items() if not v.uses()]:
        if graph.initializers[name] not in graph.outputs:
            del graph.initializers[name]
    return removed


def _repeats(node: ir.Node) -> bool:
    """Return whether a QuantizeLinear reads numbers that lie on its own grid."""
    value = node.inputs[0]
    producer = value.producer() if value is not None else None
    if producer is None or producer.op_type not in PASSING:
        return False
    while producer is not None and producer.op_type in PASSING:
        value = producer.inputs[0]
        producer = value.producer() if value is not None else None
    if producer is None or producer.op_type != "DequantizeLinear":
        return False
    return all(_same(node, producer, index) for index in (1, 2))


def _same(one: ir.Node, other: ir.Node, index: int) -> bool:
    """Return whether this input of two quantizers is the same constant number."""
    values = [n.inputs[index] if index < len(n.inputs) else None for n in (one, other)]
    a, b = (v.const_value if v is not None else None for v in values)
    if a is None or b is None or a.dtype != b.dtype or a.size != 1:
        return False
    return bool(np.array_equal(a.numpy(), b.numpy()))

"""Check the fusion of weighted layers with their activations and residual sums: rules 14 to 17.

Source: NVIDIA, 'Explicit Quantization', Q/DQ layer-placement recommendations; TensorRT issues 993,
1461.
"""

__all__ = ["FUSION"]

from collections.abc import Iterator

import onnx_ir as ir

from quant.export.qdq.nodes import input_of, is_quantizer, place_of, producer_of
from quant.export.qdq.walk import EPILOGUES, dequantizer, float_readers, is_integer, is_one_of
from quant.export.tensorrt.check.network import Network, Rule, finding
from quant.graph.prepared_graph import WEIGHTED
from quant.target.finding import Finding

CONVOLUTIONS = ("Conv", "ConvTranspose")


def _int4(node: ir.Node | None) -> bool:
    zero = input_of(node, 2)
    return zero is not None and zero.dtype == ir.DataType.INT4


def _branch(value: ir.Value | None) -> ir.Node | None:
    """Return the integer convolution that only an Add reads, past a fused activation, or None."""
    is_only_reader = value is not None and len(value.uses()) == 1 and not value.is_graph_output()
    node = producer_of(value) if is_only_reader else None
    if is_one_of(node, EPILOGUES) and node is not None:
        return _branch(input_of(node, 0))
    return node if is_one_of(node, CONVOLUTIONS) and node is not None and is_integer(node) else None


def _all_inputs(net: Network) -> Iterator[Finding]:
    for node in net.ops(*WEIGHTED):
        dequantizers = [dequantizer(input_of(node, i)) for i in (0, 1)]
        if (dequantizers[0] is None) != (dequantizers[1] is None) and not _int4(dequantizers[1]):
            which = "weight" if dequantizers[0] is None else "activation"
            saw = f"only the {which} dequantized"
            mend = "Quantize the other input as well, or neither."
            yield finding(14, "error", node, saw=saw, wanted="both inputs or none", mend=mend)


def _residuals(net: Network) -> Iterator[Finding]:
    for node in net.ops("Add"):
        producers = [producer_of(v) for v in node.inputs]
        integer = [is_quantizer(m, "DequantizeLinear") for m in producers]
        branches = [
            _branch(input_of(q, 0))
            for m in producers
            if is_quantizer(m, "DequantizeLinear")
            and m is not None
            and len(m.outputs[0].uses()) == 1
            if (q := producer_of(input_of(m, 0))) is not None
        ]
        quantized = any(is_quantizer(n, "QuantizeLinear") for n in float_readers(node.outputs[0]))
        if all(integer) and any(b is not None for b in branches):
            saw = "both operands dequantized, one of them a convolution's"
            mend = "Take the quantizer of the convolution's output away."
            yield finding(15, "error", node, saw=saw, wanted="the skip operand alone", mend=mend)
        elif not any(integer) and quantized and any(_branch(v) for v in node.inputs):
            saw = "a float skip operand and an integer result"
            mend = "Quantize the skip operand."
            yield finding(
                15, "warning", node, saw=saw, wanted="the skip operand dequantized", mend=mend
            )


def _after_residuals(net: Network) -> Iterator[Finding]:
    for node in net.ops("Add"):
        if not any(_branch(v) for v in node.inputs):
            continue
        integer_readers = [
            n for n in float_readers(node.outputs[0]) if n.op_type in WEIGHTED and is_integer(n)
        ]
        if integer_readers:
            saw = f"the float sum read by {place_of(integer_readers[0])}, which is integer"
            mend = "Put Q and DQ behind the Add (and its Relu)."
            yield finding(
                16, "warning", node, saw=saw, wanted="a quantizer behind the sum", mend=mend
            )


def _epilogues(net: Network) -> Iterator[Finding]:
    for node in net.ops(*EPILOGUES):
        dequantize = producer_of(input_of(node, 0))
        if not is_quantizer(dequantize, "DequantizeLinear") or dequantize is None:
            continue
        quantize = producer_of(input_of(dequantize, 0))
        before = producer_of(input_of(quantize, 0))
        is_only_reader = before is not None and len(before.outputs[0].uses()) == 1
        if (
            is_only_reader
            and is_one_of(before, {*WEIGHTED, "Add", "BatchNormalization"})
            and before is not None
        ):
            saw = f"Q and DQ between it and {place_of(before)}"
            mend = f"Put the quantizer behind the {node.op_type}."
            yield finding(17, "warning", node, saw=saw, wanted="nothing between the two", mend=mend)


FUSION: tuple[Rule, ...] = (_all_inputs, _residuals, _after_residuals, _epilogues)
"""Rules 14 to 17."""

"""Check shared scales, and operators that have no integer form: rules 18 to 21.

Source: NVIDIA, 'Explicit Quantization'; TensorRT issue 2976; ModelOpt 0.47 `concat_elimination`.
"""

__all__ = ["SHARING"]

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from quant.export.qdq.nodes import input_of, is_quantizer, place_of, producer_of, readers
from quant.export.qdq.walk import (
    EPILOGUES,
    constant_array,
    dequantizer,
    float_readers,
    is_constant,
    is_integer,
    is_one_of,
)
from quant.export.tensorrt.check.network import Network, Rule, finding
from quant.graph.prepared_graph import WEIGHTED
from quant.target.finding import Finding

INTEGER_RESULTS = ("AveragePool", "GlobalAveragePool", "Mul", "Add")
FLOAT_OPERATORS = ("Softmax", "LayerNormalization", "Gelu", "Erf", "Sigmoid", "Exp", "Resize")


def _quantized_once(net: Network) -> Iterator[Finding]:
    for value in dict.fromkeys(input_of(n, 0) for n in net.quantizers):
        if value is None:
            continue
        quantizers = [n for n, _ in readers(value) if is_quantizer(n, "QuantizeLinear")]
        if len(quantizers) < 2:
            continue
        scales = [constant_array(input_of(n, 1)) for n in quantizers]
        equal = all(s is not None and np.array_equal(s, scales[0]) for s in scales)  # type: ignore[arg-type]
        saw = f"{len(quantizers)} quantizers of {'equal' if equal else 'different'} scales"
        mend = "Let every reader share one pair."
        yield finding(18, "warning", place_of(value), saw=saw, wanted="one quantizer", mend=mend)


def _concats(net: Network) -> Iterator[Finding]:
    for node in net.ops("Concat"):
        dequantizers = [m for v in node.inputs if (m := dequantizer(v)) is not None]
        if not dequantizers:
            continue
        behind = [n for n in float_readers(node.outputs[0]) if is_quantizer(n, "QuantizeLinear")]
        scales = {_scale_of(n) for n in [*dequantizers, *behind]}
        # a convolution's own result: TensorRT moves the quantizer behind the Concat up to it
        float_operands = [
            v for v in node.inputs if dequantizer(v) is None and not _moves_up(v) and v
        ]
        if float_operands:
            saw, wanted = (
                f"a float operand, {place_of(float_operands[0])}",
                "every operand dequantized",
            )
        elif len(scales) > 1:
            saw, wanted = f"{len(scales)} scales around it", "one scale for operands and result"
        elif not behind:
            saw, wanted = "integers in and a float result", "a quantizer behind it"
        else:
            continue
        yield finding(
            19, "warning", node, saw=saw, wanted=wanted, mend="Join its tensors on one grid."
        )


def _moves_up(value: ir.Value | None) -> bool:
    """Return whether a value comes from an integer layer and has no other reader."""
    is_only_reader = value is not None and len(value.uses()) == 1 and not value.is_graph_output()
    node = producer_of(value) if is_only_reader else None
    if is_one_of(node, EPILOGUES) and node is not None:
        return _moves_up(input_of(node, 0))
    return is_one_of(node, set(WEIGHTED)) and node is not None and is_integer(node)


def _scale_of(node: ir.Node) -> float:
    scale = constant_array(input_of(node, 1))
    return float(scale.ravel()[0]) if scale is not None and scale.size else float("nan")


def _integer_results(net: Network) -> Iterator[Finding]:
    for node in net.ops(*INTEGER_RESULTS):
        if not any(dequantizer(v) is not None and not is_constant(v) for v in node.inputs):
            continue
        behind = float_readers(node.outputs[0])
        floats = [n for n in behind if not is_quantizer(n, "QuantizeLinear")]
        if floats or not behind:
            result = (
                f"result read in float by {place_of(floats[0])}"
                if floats
                else "float network output"
            )
            saw = f"dequantized operands, and a {result}"
            mend = "Quantize the result as well, or leave the operands float."
            yield finding(20, "warning", node, saw=saw, wanted="a quantizer behind it", mend=mend)


def _float_operators(net: Network) -> Iterator[Finding]:
    for node in net.ops(*FLOAT_OPERATORS):
        if is_quantizer(producer_of(input_of(node, 0)), "DequantizeLinear"):
            wanted = f"a float input: {node.op_type} has no integer kernel"
            mend = "Take the quantizer before it away."
            yield finding(21, "warning", node, saw="a dequantized input", wanted=wanted, mend=mend)


SHARING: tuple[Rule, ...] = (_quantized_once, _concats, _integer_results, _float_operators)
"""Rules 18 to 21."""

"""Rules about where quantizers stand: which layers TensorRT fuses into integer kernels.

Source: NVIDIA, 'Explicit Quantization', Q/DQ layer-placement recommendations; TensorRT issues 993,
1461, 2976; ModelOpt 0.47 `concat_elimination`.
"""

__all__ = ["FUSION"]

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from quant.export.tensorrt_check_read import (
    EPILOGUES,
    MOVED,
    Network,
    Rule,
    constant,
    dequantizer,
    finding,
    is_quantizer,
    label,
    maker,
    plain,
    readers,
    rooted,
)
from quant.finding import Finding
from quant.graph import WEIGHTED

CONVOLUTIONS = ("Conv", "ConvTranspose")
ELEMENTWISE = ("AveragePool", "GlobalAveragePool", "Mul", "Add")
FLOAT = ("Softmax", "LayerNormalization", "Gelu", "Erf", "Sigmoid", "Exp", "Resize")


def _of(node: ir.Node | None, types: tuple[str, ...] | frozenset[str] | set[str]) -> bool:
    return node is not None and plain(node) and node.op_type in types


def _int4(node: ir.Node | None) -> bool:
    zero = node.inputs[2] if node is not None and len(node.inputs) > 2 else None
    return zero is not None and zero.dtype == ir.DataType.INT4


def _is_integer(node: ir.Node) -> bool:
    """Tell whether a weighted node has a dequantized second input."""
    return dequantizer(node.inputs[1]) is not None


def _next(value: ir.Value) -> list[ir.Node]:
    """Return the readers of a value, past views and the activation that fuses with its maker."""
    found = []
    for node, _ in readers(value):
        passes = _of(node, EPILOGUES | MOVED)
        found += _next(node.outputs[0]) if passes else [node]
    return found


def _branch(value: ir.Value | None) -> ir.Node | None:
    """Return the integer convolution of which an Add is the only reader, epilogue in between."""
    alone = value is not None and len(value.uses()) == 1 and not value.is_graph_output()
    node = maker(value) if alone else None
    if _of(node, EPILOGUES) and node is not None:
        return _branch(node.inputs[0])
    return node if _of(node, CONVOLUTIONS) and node is not None and _is_integer(node) else None


def _all_inputs(net: Network) -> Iterator[Finding]:
    for node in net.ops(*WEIGHTED):
        made = [dequantizer(v) for v in node.inputs[:2]]
        if len(made) == 2 and (made[0] is None) != (made[1] is None) and not _int4(made[1]):
            which = "weight" if made[0] is None else "activation"
            saw = f"only the {which} dequantized"
            mend = "Quantize the other input as well, or neither."
            yield finding(14, "error", node, saw, "both inputs or none", mend)


def _residuals(net: Network) -> Iterator[Finding]:
    for node in net.ops("Add"):
        made = [maker(v) for v in node.inputs]
        integer = [is_quantizer(m, "DequantizeLinear") for m in made]
        behind = [
            _branch(q.inputs[0])
            for m in made
            if is_quantizer(m, "DequantizeLinear") and m is not None
            if (q := maker(m.inputs[0])) is not None and q.inputs
        ]
        quantized = any(is_quantizer(n, "QuantizeLinear") for n in _next(node.outputs[0]))
        if all(integer) and any(b is not None for b in behind):
            saw = "both operands dequantized, one of them a convolution's"
            mend = "Take the quantizer of the convolution's output away."
            yield finding(15, "error", node, saw, "the skip operand alone", mend)
        elif not any(integer) and quantized and any(_branch(v) for v in node.inputs):
            saw = "a float skip operand and an integer result"
            mend = "Quantize the skip operand."
            yield finding(15, "warning", node, saw, "the skip operand dequantized", mend)


def _after_residuals(net: Network) -> Iterator[Finding]:
    for node in net.ops("Add"):
        if not any(_branch(v) for v in node.inputs):
            continue
        bare = [n for n in _next(node.outputs[0]) if n.op_type in WEIGHTED and _is_integer(n)]
        if bare:
            saw = f"the float sum read by {label(bare[0])}, which is integer"
            mend = "Put Q and DQ behind the Add (and its Relu)."
            yield finding(16, "warning", node, saw, "a quantizer behind the sum", mend)


def _epilogues(net: Network) -> Iterator[Finding]:
    for node in net.ops(*EPILOGUES):
        made = maker(node.inputs[0])
        if not is_quantizer(made, "DequantizeLinear") or made is None:
            continue
        quantize = maker(made.inputs[0])
        before = maker(quantize.inputs[0]) if quantize is not None and quantize.inputs else None
        alone = before is not None and len(before.outputs[0].uses()) == 1
        if alone and _of(before, {*WEIGHTED, "Add", "BatchNormalization"}) and before is not None:
            saw = f"Q and DQ between it and {label(before)}"
            mend = f"Put the quantizer behind the {node.op_type}."
            yield finding(17, "warning", node, saw, "nothing between the two", mend)


def _once(net: Network) -> Iterator[Finding]:
    for value in dict.fromkeys(n.inputs[0] for n in net.quantizers):
        if value is None:
            continue
        mine = [n for n, _ in readers(value) if is_quantizer(n, "QuantizeLinear")]
        if len(mine) < 2:
            continue
        scales = [constant(n.inputs[1]) for n in mine]
        equal = all(s is not None and np.array_equal(s, scales[0]) for s in scales)  # type: ignore[arg-type]
        saw = f"{len(mine)} quantizers of {'equal' if equal else 'different'} scales"
        mend = "Let every reader share one pair."
        yield finding(18, "warning", label(value), saw, "one quantizer", mend)


def _concats(net: Network) -> Iterator[Finding]:
    for node in net.ops("Concat"):
        fed = [m for v in node.inputs if (m := dequantizer(v)) is not None]
        if not fed:
            continue
        behind = [n for n in _next(node.outputs[0]) if is_quantizer(n, "QuantizeLinear")]
        scales = {_number(n) for n in [*fed, *behind]}
        # straight from a convolution: TensorRT moves the quantizer behind the Concat up to it
        bare = [v for v in node.inputs if dequantizer(v) is None and not _moves_up(v) and v]
        if bare:
            saw, wanted = f"a float operand, {label(bare[0])}", "every operand dequantized"
        elif len(scales) > 1:
            saw, wanted = f"{len(scales)} scales around it", "one scale for operands and result"
        elif not behind:
            saw, wanted = "integers in and a float result", "a quantizer behind it"
        else:
            continue
        yield finding(19, "warning", node, saw, wanted, "Join its tensors on one grid.")


def _moves_up(value: ir.Value | None) -> bool:
    """Tell whether a value comes from an integer layer and has no other reader."""
    alone = value is not None and len(value.uses()) == 1 and not value.is_graph_output()
    node = maker(value) if alone else None
    if _of(node, EPILOGUES) and node is not None:
        return _moves_up(node.inputs[0])
    return _of(node, set(WEIGHTED)) and node is not None and _is_integer(node)


def _number(node: ir.Node) -> float:
    scale = constant(node.inputs[1])
    return float(scale.ravel()[0]) if scale is not None and scale.size else float("nan")


def _integer_results(net: Network) -> Iterator[Finding]:
    for node in net.ops(*ELEMENTWISE):
        if not any(dequantizer(v) is not None and not rooted(v) for v in node.inputs):
            continue
        behind = _next(node.outputs[0])
        bare = [n for n in behind if not is_quantizer(n, "QuantizeLinear")]
        if bare or not behind:
            saw = (
                f"dequantized operands, and a result read in float by {label(bare[0])}"
                if (bare)
                else "dequantized operands, and a float network output"
            )
            mend = "Quantize the result as well, or leave the operands float."
            yield finding(20, "warning", node, saw, "a quantizer behind it", mend)


def _float_operators(net: Network) -> Iterator[Finding]:
    for node in net.ops(*FLOAT):
        if is_quantizer(maker(node.inputs[0]), "DequantizeLinear"):
            wanted = f"a float input: {node.op_type} has no integer kernel"
            mend = "Take the quantizer before it away."
            yield finding(21, "warning", node, "a dequantized input", wanted, mend)


FUSION: tuple[Rule, ...] = (
    _all_inputs,
    _residuals,
    _after_residuals,
    _epilogues,
    _once,
    _concats,
    _integer_results,
    _float_operators,
)
"""Rules 14 to 21."""

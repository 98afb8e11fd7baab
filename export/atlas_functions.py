"""Ascend's quantizers as model-local ONNX functions, so that any ONNX runtime computes them."""

__all__ = ["DOMAIN", "ascend_functions"]

import onnx
import onnx_ir as ir

DOMAIN = "quant.ascend"
"""Ours: with bodies the functions cannot stand in ONNX's own domain, where ATC looks for them."""

BODIES = (
    """
    AscendQuant <scale, offset> (x) => (y) {
        reciprocal = Constant<value_float: float = @scale>()
        real = Constant<value_float: float = @offset>()
        zero_point = Cast<to = 3>(real)
        one = Constant<value_float = 1.0>()
        steps = Mul(x, reciprocal)
        y = QuantizeLinear(steps, one, zero_point)
    }""",
    """
    AscendAntiQuant <scale, offset> (x) => (y) {
        step = Constant<value_float: float = @scale>()
        real = Constant<value_float: float = @offset>()
        zero_point = Cast<to = 3>(real)
        y = DequantizeLinear(x, step, zero_point)
    }""",
    """
    AscendDequant (x, deq_scale) => (y) {
        y = DequantizeLinear<axis = 1>(x, deq_scale)
    }""",
)
"""AscendQuant multiplies by the reciprocal and rounds half to even, which is QuantizeLinear with
scale 1 behind a Mul. `deq_scale` is float32 here: no operator of opset 17 reads a float's bits."""


def ascend_functions(opset: int) -> list[ir.Function]:
    """Return AscendQuant, AscendAntiQuant and AscendDequant with bodies of one opset."""
    header = f'<domain: "{DOMAIN}", opset_import: ["" : {opset}]>'
    protos = [onnx.parser.parse_function(header + body) for body in BODIES]
    return [ir.serde.deserialize_function(proto) for proto in protos]

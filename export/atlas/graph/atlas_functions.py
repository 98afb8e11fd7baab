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
        least = Constant<value_float = -128.0>()
        most = Constant<value_float = 127.0>()
        steps = Mul(x, reciprocal)
        near = Round(steps)
        moved = Add(near, real)
        held = Clip(moved, least, most)
        y = Cast<to = 3>(held)
    }""",
    """
    AscendAntiQuant <scale, offset> (x) => (y) {
        step = Constant<value_float: float = @scale>()
        real = Constant<value_float: float = @offset>()
        whole = Cast<to = 1>(x)
        centred = Sub(whole, real)
        y = Mul(centred, step)
    }""",
    """
    AscendDequant (x, deq_scale) => (y) {
        real = Cast<to = 1>(x)
        y = Mul(real, deq_scale)
    }""",
)
"""The equations of CANN, word for word. QuantizeLinear and DequantizeLinear would be shorter and a
tenth faster, but ONNX Runtime's QDQPropagation puts a uint8 quantizer behind each Transpose of a
DequantizeLinear of int32 (1.32.0), and the numbers are lost. `deq_scale` is float32 here, shaped to be
multiplied by: no operator of opset 17 reads a float's bits."""


def ascend_functions(opset: int) -> list[ir.Function]:
    """Return AscendQuant, AscendAntiQuant and AscendDequant with bodies of one opset."""
    header = f'<domain: "{DOMAIN}", opset_import: ["" : {opset}]>'
    protos = [onnx.parser.parse_function(header + body) for body in BODIES]
    return [ir.serde.deserialize_function(proto) for proto in protos]

"""Join Power layers in a row: each one that stays rounds its input once more on the chip."""

__all__ = ["join_powers"]

from collections import Counter
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from quant.export.caffe.network.net import Net


def join_powers(net: Net, outputs: Sequence[ir.Value]) -> int:
    """Work each ``a * x + b`` that only another Power layer reads into that one; return how many.

    ``(d + c * (a * x + b)) ** p = (d + c * b + c * a * x) ** p``. Blobs of `outputs` stay.
    """
    kept = {net.raw(v).name for v in outputs}
    readers = Counter(bottom for layer in net.layers for bottom in layer.bottom)
    writers = Counter(top for layer in net.layers for top in layer.top)
    makers = {layer.top[0]: layer for layer in net.layers if layer.type == "Power"}
    joined = 0
    for layer in list(net.layers):
        first = makers.get(layer.bottom[0]) if layer.type == "Power" else None
        if first is None or first.power_param.power != 1:
            continue
        between = first.top[0]
        if between in kept or readers[between] != 1 or writers[between] != 1:
            continue
        _join(first.power_param, layer.power_param)
        layer.bottom[0] = first.bottom[0]
        net.remove(first, layer)
        joined += 1
    return joined


def _join(first: Any, second: Any) -> None:
    """Put the first layer's line into the second one's."""
    scale, shift = second.scale * first.scale, second.shift + second.scale * first.shift
    for name, value, default in (("scale", scale, 1.0), ("shift", shift, 0.0)):
        second.ClearField(name)
        if value != default:
            setattr(second, name, value)

"""Name what the board sees: inputs, outputs and the blobs beside a CPU layer have short names."""

__all__ = ["join_powers", "name_ends"]

from collections import Counter
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from quant.export.caffe.network.names import LONGEST, plain, short
from quant.export.caffe.network.net import Net
from quant.export.caffe.network.read import read


def name_ends(net: Net, outputs: Sequence[ir.Value]) -> None:
    """Give the blobs of `outputs` the tensors' names, with `_report` where a layer reads them.

    A blob that no layer reads is an output by itself. What a CPU layer makes takes no mark. Inputs
    that no layer reads go.
    """
    named: set[str] = set()
    for value in outputs:
        blob = read(net, value)
        if blob.name in _made_by(net, "Input"):  # an output needs a layer
            _, blob = net.add("Power", [blob], blob.shape, stem=f"{blob.name}_output")
        net.bind(value, blob)
        old = blob.name
        if old in named:
            continue
        read_on = any(old in layer.bottom and old not in layer.top for layer in net.layers)
        mark = "_report" if read_on and old not in _made_by(net, "Custom") else ""
        named.add(net.rename(old, short(plain(str(value.name), "output"), mark)))
    read_at_all = {bottom for layer in net.layers for bottom in layer.bottom}
    net.layers = [x for x in net.layers if x.type != "Input" or x.top[0] in read_at_all]
    for layer in net.layers:
        if layer.type == "Custom":
            for name in [*layer.bottom, *layer.top]:
                if len(name) > LONGEST:
                    net.rename(name, short(name))
        elif any(top in named for top in layer.top):
            net.rename_layer(layer)


def _made_by(net: Net, kind: str) -> set[str]:
    """Return the tops of all layers of a type."""
    return {top for layer in net.layers if layer.type == kind for top in layer.top}


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

"""Finish a converted network: merge Power layers, and shorten the names that the board keeps."""

__all__ = ["merge_powers", "name_inputs_and_outputs"]

from collections import Counter
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from quant.export.caffe.network.names import MAX_NAME_LENGTH, mapper_name, shortened
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.read import read_blob


def name_inputs_and_outputs(net: NetWriter, outputs: Sequence[ir.Value]) -> None:
    """Give the blobs of `outputs` the tensors' names, with `_report` where a layer reads them.

    A blob that no layer reads is an output without a suffix, and so is the result of a CPU layer.
    Inputs that no layer reads are removed.
    """
    named: set[str] = set()
    for value in outputs:
        blob = read_blob(net, value)
        if blob.name in _tops_of_type(net, "Input"):  # an output needs a layer
            _, blob = net.add("Power", [blob], blob.shape, stem=f"{blob.name}_output")
        net.bind(value, blob)
        old = blob.name
        if old in named:
            continue
        read_on = any(old in layer.bottom and old not in layer.top for layer in net.layers)
        mark = "_report" if read_on and old not in _tops_of_type(net, "Custom") else ""
        named.add(net.rename(old, shortened(mapper_name(str(value.name), "output"), mark)))
    read_at_all = {bottom for layer in net.layers for bottom in layer.bottom}
    net.layers = [x for x in net.layers if x.type != "Input" or x.top[0] in read_at_all]
    for layer in net.layers:
        if layer.type == "Custom":
            for name in [*layer.bottom, *layer.top]:
                if len(name) > MAX_NAME_LENGTH:
                    net.rename(name, shortened(name))
        elif any(top in named for top in layer.top):
            net.rename_layer(layer)


def _tops_of_type(net: NetWriter, kind: str) -> set[str]:
    """Return the names of the blobs that layers of a type write."""
    return {top for layer in net.layers if layer.type == kind for top in layer.top}


def merge_powers(net: NetWriter, outputs: Sequence[ir.Value]) -> int:
    """Merge each ``a * x + b`` into the Power layer that alone reads it; return how many.

    ``(d + c * (a * x + b)) ** p = (d + c * b + c * a * x) ** p``. Blobs of `outputs` stay.
    """
    output_blobs = {net.blob(v).name for v in outputs}
    readers = Counter(bottom for layer in net.layers for bottom in layer.bottom)
    writers = Counter(top for layer in net.layers for top in layer.top)
    makers = {layer.top[0]: layer for layer in net.layers if layer.type == "Power"}
    joined = 0
    for layer in list(net.layers):
        first = makers.get(layer.bottom[0]) if layer.type == "Power" else None
        if first is None or first.power_param.power != 1:
            continue
        middle = first.top[0]
        if middle in output_blobs or readers[middle] != 1 or writers[middle] != 1:
            continue
        _merge(first.power_param, layer.power_param)
        layer.bottom[0] = first.bottom[0]
        net.remove(first, layer)
        joined += 1
    return joined


def _merge(first: Any, second: Any) -> None:
    """Put scale and shift of the first Power layer into those of the second one."""
    scale, shift = second.scale * first.scale, second.shift + second.scale * first.shift
    for name, value, default in (("scale", scale, 1.0), ("shift", shift, 0.0)):
        second.ClearField(name)
        if value != default:
            setattr(second, name, value)

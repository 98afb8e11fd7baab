"""Name what the board sees: inputs, outputs and the blobs beside a CPU layer have short names."""

__all__ = ["name_ends"]

from collections.abc import Sequence

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

"""Check the blobs of a caffemodel against its prototxt: rule 23, and rule 10 for their shapes."""

__all__ = ["check_weights", "expected_blobs"]

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from quant.common.errors import InputError
from quant.export.caffe.network.files import blob_array, blob_shape
from quant.export.caffe.network.shapes import height_and_width
from quant.export.nnie.check.layers import CONVOLUTION_TYPES, MAX_LENGTH
from quant.export.nnie.check.rules import finding
from quant.export.nnie.graph.mapper_net import MapperLayer, MapperNet
from quant.target.finding import Finding, Severity

AGAIN = "Export the model anew, so that prototxt and caffemodel belong together."


def check_weights(net: MapperNet, model: Any) -> list[Finding]:
    """Return the findings of rules 23 and 10; `model` is the caffemodel's NetParameter."""
    stored = {str(message.name): list(message.blobs) for message in model.layer}
    findings: list[Finding] = []
    for layer in net.layers:
        wanted = expected_blobs(layer)
        blobs = stored.get(layer.name, [])
        if wanted is None or layer.cpu:
            continue
        if len(blobs) != len(wanted):
            saw = f"{len(blobs)} blobs in the caffemodel"
            if layer.name not in stored:
                saw = "no layer of that name in the caffemodel"
            want = f"{len(wanted)} blobs of shape {_shapes(wanted)}"
            findings.append(
                finding(
                    23, "error", layer.place, saw=saw, wanted=want, mend=AGAIN, layer=layer.name
                )
            )
            continue
        for index, (blob, shape) in enumerate(zip(blobs, wanted, strict=True)):
            findings += _blob(layer, index, blob, shape)
    return findings


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes)


def _blob(layer: MapperLayer, index: int, blob: Any, wanted: tuple[int, ...]) -> Iterator[Finding]:
    place = f"{layer.place}, blob {index}"
    shape = blob_shape(blob)
    if not _same_shape(shape, wanted):
        saw, want = f"shape {list(shape)}", f"{list(wanted)}, as the prototxt says"
        yield finding(23, "error", place, saw=saw, wanted=want, mend=AGAIN, layer=layer.name)
        return
    try:
        array = blob_array(blob, place)
    except InputError:
        saw, want = f"{len(blob.data)} numbers", f"the {prod(shape)} of its shape"
        yield finding(23, "error", place, saw=saw, wanted=want, mend=AGAIN, layer=layer.name)
        return
    if bad := int(np.count_nonzero(~np.isfinite(array))):
        mend = "Mend the weights: NaN and infinity have no code."
        saw = f"{bad} of {array.size} numbers that are not finite"
        yield finding(
            23, "error", place, saw=saw, wanted="finite numbers", mend=mend, layer=layer.name
        )
    if layer.type == "BatchNorm" and index == 2 and array.ravel()[0] != 1:
        factor = float(array.ravel()[0])
        mend = "Divide mean and variance by it, and write 1."
        severity: Severity = "warning" if factor else "error"  # zero makes Caffe forget both
        saw, want = f"a scale factor of {factor:g}", "1"
        yield finding(23, severity, place, saw=saw, wanted=want, mend=mend, layer=layer.name)
    dense = layer.type == "InnerProduct"
    if max(shape, default=0) > MAX_LENGTH and not (dense and max(shape) == shape[-1]):
        mend = "Make the layer narrower."
        saw, want = f"weights of {list(shape)}", f"{MAX_LENGTH} at most"
        yield finding(10, "error", place, saw=saw, wanted=want, mend=mend, layer=layer.name)


def _same_shape(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Compare shapes; 0 is any length. Caffe before 1.0 wrote four lengths, ones in front."""
    bare = shape[len(shape) - len(wanted) :] if len(shape) > len(wanted) else shape
    front = shape[: len(shape) - len(bare)]
    fits = len(bare) == len(wanted) and all(w in (0, s) for s, w in zip(bare, wanted, strict=True))
    return fits and all(d == 1 for d in front)


def expected_blobs(layer: MapperLayer) -> list[tuple[int, ...]] | None:
    """Return the shapes of a layer's blobs, 0 for any length, or None for a layer without blobs."""
    bottom = (layer.bottoms[0] if layer.bottoms else None) or (1, 0)
    proto, channels = layer.proto, bottom[1] if len(bottom) > 1 else 0
    if layer.type in CONVOLUTION_TYPES:
        return _convolution_blobs(layer, channels)
    if layer.type == "InnerProduct":
        param = proto.inner_product_param
        inner, outer = prod(bottom[param.axis :]), int(param.num_output)
        weight = (inner, outer) if param.transpose else (outer, inner)
        return [weight, (outer,)] if param.bias_term else [weight]
    if layer.type == "BatchNorm":
        return [(channels,), (channels,), (1,)]
    if layer.type == "PReLU":
        return [(1,) if proto.prelu_param.channel_shared else (channels,)]
    if layer.type in ("Scale", "Bias") and len(proto.bottom) == 1:
        param = proto.scale_param if layer.type == "Scale" else proto.bias_param
        start = param.axis % len(bottom)
        stop = len(bottom) if param.num_axes == -1 else start + param.num_axes
        shape = bottom[start:stop]
        return [shape, shape] if layer.type == "Scale" and param.bias_term else [shape]
    return None


def _convolution_blobs(layer: MapperLayer, inputs: int) -> list[tuple[int, ...]]:
    param = layer.proto.convolution_param
    outputs, kernel = int(param.num_output) or inputs, height_and_width(param, "kernel_size")
    group = max(inputs if layer.type == "DepthwiseConv" else int(param.group), 1)
    weight = (outputs, inputs // group, *kernel)
    if layer.type == "Deconvolution":
        weight = (inputs, outputs // group, *kernel)
    return [weight, (outputs,)] if param.bias_term else [weight]

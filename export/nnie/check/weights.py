"""Rule 23: the caffemodel has what the prototxt needs, and rule 10 for its shapes."""

__all__ = ["check_weights", "wanted_blobs"]

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from quant.common.errors import InputError
from quant.export.caffe.network.files import blob_array, blob_shape
from quant.export.caffe.network.shapes import height_and_width
from quant.export.nnie.check.layers import CONVOLVING, LONGEST
from quant.export.nnie.check.rules import finding
from quant.export.nnie.graph.mapper_net import Net, Site
from quant.target.finding import Finding, Severity

AGAIN = "Export the model anew, so that prototxt and caffemodel belong together."


def check_weights(net: Net, model: Any) -> list[Finding]:
    """Return what breaks rule 23; `model` is the caffemodel's NetParameter."""
    held = {str(layer.name): list(layer.blobs) for layer in model.layer}
    found: list[Finding] = []
    for site in net.sites:
        wanted = wanted_blobs(site)
        blobs = held.get(site.name, [])
        if wanted is None or site.cpu:
            continue
        if len(blobs) != len(wanted):
            saw = f"{len(blobs)} blobs in the caffemodel"
            if site.name not in held:
                saw = "no layer of that name in the caffemodel"
            want = f"{len(wanted)} blobs of shape {_shapes(wanted)}"
            found.append(finding(23, "error", site.place, saw, want, AGAIN, site.name))
            continue
        for index, (blob, shape) in enumerate(zip(blobs, wanted, strict=True)):
            found += _blob(site, index, blob, shape)
    return found


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes)


def _blob(site: Site, index: int, blob: Any, wanted: tuple[int, ...]) -> Iterator[Finding]:
    place = f"{site.place}, blob {index}"
    shape = blob_shape(blob)
    if not _alike(shape, wanted):
        saw, want = f"shape {list(shape)}", f"{list(wanted)}, as the prototxt says"
        yield finding(23, "error", place, saw, want, AGAIN, site.name)
        return
    try:
        array = blob_array(blob, place)
    except InputError:
        saw, want = f"{len(blob.data)} numbers", f"the {prod(shape)} of its shape"
        yield finding(23, "error", place, saw, want, AGAIN, site.name)
        return
    if bad := int(np.count_nonzero(~np.isfinite(array))):
        mend = "Mend the weights: NaN and infinity have no code."
        saw = f"{bad} of {array.size} numbers that are not finite"
        yield finding(23, "error", place, saw, "finite numbers", mend, site.name)
    if site.type == "BatchNorm" and index == 2 and array.ravel()[0] != 1:
        factor = float(array.ravel()[0])
        mend = "Divide mean and variance by it, and write 1."
        severity: Severity = "warning" if factor else "error"  # zero makes Caffe forget both
        saw, want = f"a scale factor of {factor:g}", "1"
        yield finding(23, severity, place, saw, want, mend, site.name)
    dense = site.type == "InnerProduct"
    if max(shape, default=0) > LONGEST and not (dense and max(shape) == shape[-1]):
        mend = "Make the layer narrower."
        saw, want = f"weights of {list(shape)}", f"{LONGEST} at most"
        yield finding(10, "error", place, saw, want, mend, site.name)


def _alike(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Compare shapes; Caffe before 1.0 wrote four lengths, ones in front. 0 stands for any."""
    bare = shape[len(shape) - len(wanted) :] if len(shape) > len(wanted) else shape
    front = shape[: len(shape) - len(bare)]
    fits = len(bare) == len(wanted) and all(w in (0, s) for s, w in zip(bare, wanted, strict=True))
    return fits and all(d == 1 for d in front)


def wanted_blobs(site: Site) -> list[tuple[int, ...]] | None:
    """Return the shapes of a layer's blobs, 0 for any length; None for a layer without blobs."""
    bottom = (site.bottoms[0] if site.bottoms else None) or (1, 0)
    layer, channels = site.layer, bottom[1] if len(bottom) > 1 else 0
    if site.type in CONVOLVING:
        return _convolving(site, channels)
    if site.type == "InnerProduct":
        param = layer.inner_product_param
        inner, outer = prod(bottom[param.axis :]), int(param.num_output)
        weight = (inner, outer) if param.transpose else (outer, inner)
        return [weight, (outer,)] if param.bias_term else [weight]
    if site.type == "BatchNorm":
        return [(channels,), (channels,), (1,)]
    if site.type == "PReLU":
        return [(1,) if layer.prelu_param.channel_shared else (channels,)]
    if site.type in ("Scale", "Bias") and len(layer.bottom) == 1:
        param = layer.scale_param if site.type == "Scale" else layer.bias_param
        start = param.axis % len(bottom)
        stop = len(bottom) if param.num_axes == -1 else start + param.num_axes
        shape = bottom[start:stop]
        return [shape, shape] if site.type == "Scale" and param.bias_term else [shape]
    return None


def _convolving(site: Site, inputs: int) -> list[tuple[int, ...]]:
    param = site.layer.convolution_param
    outputs, kernel = int(param.num_output) or inputs, height_and_width(param, "kernel_size")
    group = max(inputs if site.type == "DepthwiseConv" else int(param.group), 1)
    weight = (outputs, inputs // group, *kernel)
    if site.type == "Deconvolution":
        weight = (inputs, outputs // group, *kernel)
    return [weight, (outputs,)] if param.bias_term else [weight]

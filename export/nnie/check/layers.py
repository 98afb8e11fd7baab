"""Check single layers against NNIE's limits: rules 9 to 18."""

__all__ = ["CONVOLUTION_TYPES", "MAX_LENGTH", "check_layers", "check_sizes"]

from collections.abc import Iterator
from math import prod
from typing import Any

from quant.export.caffe.network.shapes import height_and_width
from quant.export.nnie.check.rules import finding
from quant.export.nnie.graph.mapper_net import ACTIVATIONS, MapperLayer, MapperNet
from quant.target.finding import Finding

MAX_CONCAT_INPUTS = 32


EXPONENTS = (-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0)


EPS = 1e-10


AFTER_DENSE = ACTIVATIONS | {"Softmax", "Custom", "Proposal"}


def check_layers(net: MapperNet) -> list[Finding]:
    """Return the findings of rules 12 to 18."""
    findings: list[Finding] = []
    for layer in net.layers:
        if layer.cpu:
            continue
        findings += _axes(layer)
        findings += _RULES[layer.type](layer) if layer.type in _RULES else []
    return findings


def _axes(layer: MapperLayer) -> Iterator[Finding]:
    """Yield the findings of rule 14 on layers with an axis."""
    fields = {
        "Concat": ("concat_param", "concat_dim"),
        "Slice": ("slice_param", "slice_dim"),
        "Softmax": ("softmax_param", ""),
        "Scale": ("scale_param", ""),
        "Bias": ("bias_param", ""),
        "Flatten": ("flatten_param", ""),
        "InnerProduct": ("inner_product_param", ""),
    }
    if layer.type not in fields:
        return
    field, old = fields[layer.type]
    param = getattr(layer.proto, field)
    axis = int(getattr(param, old if old and param.HasField(old) else "axis"))
    rank = len(layer.bottoms[0] or ()) if layer.bottoms else 0
    if axis == 0 or (rank and axis == -rank):
        mend = "Let it act on the channels, rows or columns."
        yield finding(
            14,
            "error",
            layer.place,
            saw=f"axis {axis}",
            wanted="1 or more",
            mend=mend,
            layer=layer.name,
        )


def _concat(layer: MapperLayer) -> Iterator[Finding]:
    if (count := len(layer.proto.bottom)) > MAX_CONCAT_INPUTS:
        mend = "Join them in two steps."
        yield finding(
            14,
            "error",
            layer.place,
            saw=f"{count} bottoms",
            wanted=f"{MAX_CONCAT_INPUTS} at most",
            mend=mend,
            layer=layer.name,
        )


def _permute(layer: MapperLayer) -> Iterator[Finding]:
    order = [int(i) for i in layer.proto.permute_param.order]
    if order != [0, 2, 3, 1]:
        mend = "Cut the network before it, and permute on the CPU."
        yield finding(
            12,
            "error",
            layer.place,
            saw=f"order {order}",
            wanted="[0, 2, 3, 1]",
            mend=mend,
            layer=layer.name,
        )


def _reshape(layer: MapperLayer) -> Iterator[Finding]:
    dims = [int(d) for d in layer.proto.reshape_param.shape.dim]
    if any(reader.type == "InnerProduct" for reader in layer.next_layers):
        mend = "Remove the Reshape: an InnerProduct flattens by itself."
    else:
        mend = "Write 4 dims that begin with 0, or cut the network before it."
    if len(dims) != 4 or dims[0] != 0:
        wanted = "4 dims, the first of them 0"
        yield finding(
            13, "error", layer.place, saw=f"dims {dims}", wanted=wanted, mend=mend, layer=layer.name
        )
    if layer.proto.reshape_param.axis:
        saw = f"axis {layer.proto.reshape_param.axis}"
        yield finding(
            13, "error", layer.place, saw=saw, wanted="no axis", mend=mend, layer=layer.name
        )


def _eltwise(layer: MapperLayer) -> Iterator[Finding]:
    shapes = {shape for shape in layer.bottoms if shape is not None}
    if len(shapes) > 1 or len(layer.bottoms) < 2:
        saw = f"bottoms of {', '.join(str(list(s)) for s in sorted(shapes))}"
        mend = "Give both the same shape: there is no broadcast."
        wanted = "two or more of one shape"
        yield finding(15, "error", layer.place, saw=saw, wanted=wanted, mend=mend, layer=layer.name)


def _tile(layer: MapperLayer) -> Iterator[Finding]:
    mend = "Join copies with a Concat."
    yield finding(
        15, "error", layer.place, saw="a Tile", wanted="no tiling", mend=mend, layer=layer.name
    )


def _dense(layer: MapperLayer) -> Iterator[Finding]:
    for reader in _past_activations(layer):
        if reader.type == "MatMul":
            mend = "Write the InnerProduct as a Convolution."
            yield finding(
                16,
                "error",
                layer.place,
                saw="a MatMul behind it",
                wanted="none",
                mend=mend,
                layer=layer.name,
            )
        elif reader.type not in AFTER_DENSE and not reader.cpu:
            saw = f"{reader.place}, {reader.type}, behind an InnerProduct"
            mend = "Write it as a Convolution, 1x1 or of the whole map."
            wanted = "an activation or Softmax"
            yield finding(
                16, "warning", layer.place, saw=saw, wanted=wanted, mend=mend, layer=layer.name
            )


def _past_activations(layer: MapperLayer) -> Iterator[MapperLayer]:
    for reader in layer.next_layers:
        if reader.type in ACTIVATIONS:
            yield from _past_activations(reader)
        else:
            yield reader


def _power(layer: MapperLayer) -> Iterator[Finding]:
    power = float(layer.proto.power_param.power)
    if power not in EXPONENTS:
        wanted = f"one of {', '.join(f'{x:g}' for x in EXPONENTS)}"
        mend = "Compute it on the CPU."
        yield finding(
            17,
            "error",
            layer.place,
            saw=f"power {power:g}",
            wanted=wanted,
            mend=mend,
            layer=layer.name,
        )


def _normalize(layer: MapperLayer) -> Iterator[Finding]:
    eps = float(layer.proto.norm_param.eps)
    if abs(eps - EPS) > 1e-6 * EPS:  # it is stored as a float32
        mend = "Write eps: 1e-10, the only one that NNIE computes."
        yield finding(
            17,
            "error",
            layer.place,
            saw=f"eps {eps:g}",
            wanted="1e-10",
            mend=mend,
            layer=layer.name,
        )


def _upsample(layer: MapperLayer) -> Iterator[Finding]:
    scale = int(layer.proto.upsample_param.scale)
    if scale != 2:
        mend = "Double it several times, or use a Deconvolution."
        yield finding(
            18, "error", layer.place, saw=f"scale {scale}", wanted="2", mend=mend, layer=layer.name
        )
    for producer in layer.producers:
        if isinstance(producer, MapperLayer) and producer.name.endswith("_cpu"):
            mend = "Put a layer of NNIE between them, or upsample on the CPU."
            saw = f"{producer.place} before it"
            yield finding(
                18,
                "error",
                layer.place,
                saw=saw,
                wanted="no _cpu layer",
                mend=mend,
                layer=layer.name,
            )


def _interp(layer: MapperLayer) -> Iterator[Finding]:
    mend = "Use Upsample, or a Deconvolution of kernel 2 and stride 2."
    saw = "an Interp, which many mappers refuse"
    yield finding(
        18, "warning", layer.place, saw=saw, wanted="nearest, doubled", mend=mend, layer=layer.name
    )


_RULES: dict[str, Any] = {
    "Concat": _concat,
    "Eltwise": _eltwise,
    "InnerProduct": _dense,
    "Interp": _interp,
    "Normalize": _normalize,
    "Permute": _permute,
    "Power": _power,
    "Reshape": _reshape,
    "Tile": _tile,
    "Upsample": _upsample,
}


MAX_LENGTH = 4096
"""Largest number of channels, rows and columns: HiSVP guide, by public notes."""


MAX_PARAMETER = 255
"""Largest kernel, stride, dilation and pad: the same source."""


MAX_GROUPS = 2048
"""Largest number of groups: the same source."""


CONVOLUTION_TYPES = ("Convolution", "Deconvolution", "DepthwiseConv")


def check_sizes(net: MapperNet) -> list[Finding]:
    """Return the errors of rules 9, 10 and 11."""
    findings: list[Finding] = []
    for layer in net.layers:
        if not layer.cpu:
            findings += [*_windows(layer), *_lengths(layer), *_groups(layer)]
    return findings


def _windows(layer: MapperLayer) -> Iterator[Finding]:
    if layer.type not in (*CONVOLUTION_TYPES, "Pooling"):
        return
    pooling = layer.type == "Pooling"
    param = layer.proto.pooling_param if pooling else layer.proto.convolution_param
    kernel = () if pooling and param.global_pooling else height_and_width(param, "kernel_size")
    parameters = {
        "kernel": kernel,
        "stride": height_and_width(param, "stride", 1),
        "pad": height_and_width(param, "pad", 0),
    }
    if not pooling:
        parameters["dilation"] = height_and_width(param, "dilation", 1)
    for name, values in parameters.items():
        least = 0 if name == "pad" else 1
        if any(not least <= value <= MAX_PARAMETER for value in values):
            saw = f"{name} {' x '.join(map(str, values))}"
            mend = "Split the layer, or mend the number."
            yield finding(
                9,
                "error",
                layer.place,
                saw=saw,
                wanted=f"{least} to {MAX_PARAMETER}",
                mend=mend,
                layer=layer.name,
            )


def _lengths(layer: MapperLayer) -> Iterator[Finding]:
    for top, shape in zip(layer.proto.top, layer.tops, strict=True):
        if shape is not None and max(shape[1:], default=0) > MAX_LENGTH:
            saw = f"the top '{top}' of {list(shape)}"
            mend = "Make the layer narrower, or the picture smaller."
            yield finding(
                10,
                "error",
                layer.place,
                saw=saw,
                wanted=f"{MAX_LENGTH} at most",
                mend=mend,
                layer=layer.name,
            )
    shape = layer.bottoms[0] if layer.bottoms else None
    if layer.type == "InnerProduct" and shape is not None:
        inner = prod(shape[layer.proto.inner_product_param.axis :])
        if inner > MAX_LENGTH:
            saw = f"{inner} inputs of an InnerProduct"
            mend = "Write it as a Convolution of the whole map."
            wanted = f"{MAX_LENGTH} at most, as far as is known"
            yield finding(
                10, "warning", layer.place, saw=saw, wanted=wanted, mend=mend, layer=layer.name
            )


def _groups(layer: MapperLayer) -> Iterator[Finding]:
    if layer.type not in CONVOLUTION_TYPES:
        return
    param = layer.proto.convolution_param
    group, outputs = int(param.group), int(param.num_output)
    shape = layer.bottoms[0] if layer.bottoms else None
    inputs = shape[1] if shape is not None and len(shape) > 1 else group
    if not 1 <= group <= MAX_GROUPS or inputs % group or outputs % group:
        saw = f"group {group} of {inputs} input and {outputs} output channels"
        wanted = f"1 to {MAX_GROUPS}, a divisor of both"
        yield finding(
            11, "error", layer.place, saw=saw, wanted=wanted, mend="Mend group.", layer=layer.name
        )

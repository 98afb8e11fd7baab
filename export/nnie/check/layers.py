"""Rules 12 to 18: what NNIE asks of single layers."""

__all__ = ["CONVOLVING", "LONGEST", "check_layers", "check_sizes"]

from collections.abc import Iterator
from math import prod
from typing import Any

from quant.export.caffe.network.shapes import height_and_width
from quant.export.nnie.check.rules import finding
from quant.export.nnie.graph.mapper_net import ACTIVATIONS, Net, Site
from quant.target.finding import Finding

MOST_JOINED = 32


EXPONENTS = (-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0)


EPS = 1e-10


BEHIND_DENSE = ACTIVATIONS | {"Softmax", "Custom", "Proposal"}


def check_layers(net: Net) -> list[Finding]:
    """Return what breaks rules 12 to 18."""
    found: list[Finding] = []
    for site in net.sites:
        if site.cpu:
            continue
        found += _axes(site)
        found += _RULES[site.type](site) if site.type in _RULES else []
    return found


def _axes(site: Site) -> Iterator[Finding]:
    """Rule 14; Flatten and ArgMax have an axis as well."""
    named = {
        "Concat": ("concat_param", "concat_dim"),
        "Slice": ("slice_param", "slice_dim"),
        "Softmax": ("softmax_param", ""),
        "Scale": ("scale_param", ""),
        "Bias": ("bias_param", ""),
        "Flatten": ("flatten_param", ""),
        "InnerProduct": ("inner_product_param", ""),
    }
    if site.type not in named:
        return
    field, old = named[site.type]
    param = getattr(site.layer, field)
    axis = int(getattr(param, old if old and param.HasField(old) else "axis"))
    rank = len(site.bottoms[0] or ()) if site.bottoms else 0
    if axis == 0 or (rank and axis == -rank):
        mend = "Let it act on the channels, rows or columns."
        yield finding(14, "error", site.place, f"axis {axis}", "1 or more", mend, site.name)


def _concat(site: Site) -> Iterator[Finding]:
    if (count := len(site.layer.bottom)) > MOST_JOINED:
        mend = "Join them in two steps."
        yield finding(
            14, "error", site.place, f"{count} bottoms", f"{MOST_JOINED} at most", mend, site.name
        )


def _permute(site: Site) -> Iterator[Finding]:
    order = [int(i) for i in site.layer.permute_param.order]
    if order != [0, 2, 3, 1]:
        mend = "Cut the network before it, and permute on the CPU."
        yield finding(12, "error", site.place, f"order {order}", "[0, 2, 3, 1]", mend, site.name)


def _reshape(site: Site) -> Iterator[Finding]:
    dims = [int(d) for d in site.layer.reshape_param.shape.dim]
    if any(reader.type == "InnerProduct" for reader in site.behind):
        mend = "Remove the Reshape: an InnerProduct flattens by itself."
    else:
        mend = "Write 4 dims that begin with 0, or cut the network before it."
    if len(dims) != 4 or dims[0] != 0:
        wanted = "4 dims, the first of them 0"
        yield finding(13, "error", site.place, f"dims {dims}", wanted, mend, site.name)
    if site.layer.reshape_param.axis:
        saw = f"axis {site.layer.reshape_param.axis}"
        yield finding(13, "error", site.place, saw, "no axis", mend, site.name)


def _eltwise(site: Site) -> Iterator[Finding]:
    shapes = {shape for shape in site.bottoms if shape is not None}
    if len(shapes) > 1 or len(site.bottoms) < 2:
        saw = f"bottoms of {', '.join(str(list(s)) for s in sorted(shapes))}"
        mend = "Give both the same shape: there is no broadcast."
        wanted = "two or more of one shape"
        yield finding(15, "error", site.place, saw, wanted, mend, site.name)


def _tile(site: Site) -> Iterator[Finding]:
    mend = "Join copies with a Concat."
    yield finding(15, "error", site.place, "a Tile", "no tiling", mend, site.name)


def _dense(site: Site) -> Iterator[Finding]:
    for reader in _past_activations(site):
        if reader.type == "MatMul":
            mend = "Write the InnerProduct as a Convolution."
            yield finding(16, "error", site.place, "a MatMul behind it", "none", mend, site.name)
        elif reader.type not in BEHIND_DENSE and not reader.cpu:
            saw = f"{reader.place}, {reader.type}, behind an InnerProduct"
            mend = "Write it as a Convolution, 1x1 or of the whole map."
            wanted = "an activation or Softmax"
            yield finding(16, "warning", site.place, saw, wanted, mend, site.name)


def _past_activations(site: Site) -> Iterator[Site]:
    for reader in site.behind:
        if reader.type in ACTIVATIONS:
            yield from _past_activations(reader)
        else:
            yield reader


def _power(site: Site) -> Iterator[Finding]:
    power = float(site.layer.power_param.power)
    if power not in EXPONENTS:
        wanted = f"one of {', '.join(f'{x:g}' for x in EXPONENTS)}"
        mend = "Compute it on the CPU."
        yield finding(17, "error", site.place, f"power {power:g}", wanted, mend, site.name)


def _normalize(site: Site) -> Iterator[Finding]:
    eps = float(site.layer.norm_param.eps)
    if abs(eps - EPS) > 1e-6 * EPS:  # it is stored as a float32
        mend = "Write eps: 1e-10, the only one that NNIE computes."
        yield finding(17, "error", site.place, f"eps {eps:g}", "1e-10", mend, site.name)


def _upsample(site: Site) -> Iterator[Finding]:
    scale = int(site.layer.upsample_param.scale)
    if scale != 2:
        mend = "Double it several times, or use a Deconvolution."
        yield finding(18, "error", site.place, f"scale {scale}", "2", mend, site.name)
    for maker in site.makers:
        if isinstance(maker, Site) and maker.name.endswith("_cpu"):
            mend = "Put a layer of NNIE between them, or upsample on the CPU."
            saw = f"{maker.place} before it"
            yield finding(18, "error", site.place, saw, "no _cpu layer", mend, site.name)


def _interp(site: Site) -> Iterator[Finding]:
    mend = "Use Upsample, or a Deconvolution of kernel 2 and stride 2."
    saw = "an Interp, which mappers often refuse"
    yield finding(18, "warning", site.place, saw, "nearest, doubled", mend, site.name)


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


LONGEST = 4096
"""Channels, rows, columns: HiSVP guide, by public notes."""


GREATEST = 255
"""Kernel, stride, dilation, pad: the same."""


MOST_GROUPS = 2048
"""The same."""


CONVOLVING = ("Convolution", "Deconvolution", "DepthwiseConv")


def check_sizes(net: Net) -> list[Finding]:
    """Return what breaks rules 9, 10 and 11, but for what is only slow or coarse."""
    found: list[Finding] = []
    for site in net.sites:
        if not site.cpu:
            found += [*_windows(site), *_lengths(site), *_groups(site)]
    return found


def _windows(site: Site) -> Iterator[Finding]:
    if site.type not in (*CONVOLVING, "Pooling"):
        return
    pooling = site.type == "Pooling"
    param = site.layer.pooling_param if pooling else site.layer.convolution_param
    kernel = () if pooling and param.global_pooling else height_and_width(param, "kernel_size")
    seen = {
        "kernel": kernel,
        "stride": height_and_width(param, "stride", 1),
        "pad": height_and_width(param, "pad", 0),
    }
    if not pooling:
        seen["dilation"] = height_and_width(param, "dilation", 1)
    for name, values in seen.items():
        least = 0 if name == "pad" else 1
        if any(not least <= value <= GREATEST for value in values):
            saw = f"{name} {' x '.join(map(str, values))}"
            mend = "Split the layer, or mend the number."
            yield finding(9, "error", site.place, saw, f"{least} to {GREATEST}", mend, site.name)


def _lengths(site: Site) -> Iterator[Finding]:
    for top, shape in zip(site.layer.top, site.tops, strict=True):
        if shape is not None and max(shape[1:], default=0) > LONGEST:
            saw = f"the top '{top}' of {list(shape)}"
            mend = "Make the layer narrower, or the picture smaller."
            yield finding(10, "error", site.place, saw, f"{LONGEST} at most", mend, site.name)
    shape = site.bottoms[0] if site.bottoms else None
    if site.type == "InnerProduct" and shape is not None:
        inner = prod(shape[site.layer.inner_product_param.axis :])
        if inner > LONGEST:
            saw = f"{inner} inputs of an InnerProduct"
            mend = "Write it as a Convolution of the whole map."
            wanted = f"{LONGEST} at most, as far as is known"
            yield finding(10, "warning", site.place, saw, wanted, mend, site.name)


def _groups(site: Site) -> Iterator[Finding]:
    if site.type not in CONVOLVING:
        return
    param = site.layer.convolution_param
    group, outputs = int(param.group), int(param.num_output)
    shape = site.bottoms[0] if site.bottoms else None
    inputs = shape[1] if shape is not None and len(shape) > 1 else group
    if not 1 <= group <= MOST_GROUPS or inputs % group or outputs % group:
        saw = f"group {group} of {inputs} input and {outputs} output channels"
        wanted = f"1 to {MOST_GROUPS}, a divisor of both"
        yield finding(11, "error", site.place, saw, wanted, "Mend group.", site.name)

"""Rules 9, 10 and 11: windows, lengths and groups."""

__all__ = ["CONVOLVING", "LONGEST", "check_sizes"]

from collections.abc import Iterator
from math import prod

from quant.export.caffe.network.shapes import window
from quant.export.nnie.check.rules import finding
from quant.export.nnie.graph.mapper_net import Net, Site
from quant.target.finding import Finding

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
    kernel = () if pooling and param.global_pooling else window(param, "kernel_size")
    seen = {"kernel": kernel, "stride": window(param, "stride", 1), "pad": window(param, "pad", 0)}
    if not pooling:
        seen["dilation"] = window(param, "dilation", 1)
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

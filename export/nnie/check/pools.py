"""Rules 7 and 8: pooling, which Caffe rounds up and pads otherwise than other frameworks."""

__all__ = ["check_pools"]

from collections.abc import Iterator, Mapping

from quant.export.caffe.network.shapes import Shape, height_and_width
from quant.export.nnie.check.rules import finding
from quant.export.nnie.files.record import Row
from quant.export.nnie.graph.mapper_net import Net, Site
from quant.target.finding import Finding, Severity

AVERAGE = 1


def check_pools(net: Net, record: Mapping[str, Row]) -> list[Finding]:
    """Return what breaks rules 7 and 8.

    Args:
        net: The Caffe network.
        record: By layer name, from the export; {} for a network of others, which can only be
            warned about: what it was trained in is not known.
    """
    found: list[Finding] = []
    if record:
        found += _shapes(net, record)
    for site in net.of("Pooling"):
        if not site.layer.pooling_param.global_pooling:
            found += [] if record else _rounded(site)
            found += _padded(site, record)
    return found


def _shapes(net: Net, record: Mapping[str, Row]) -> Iterator[Finding]:
    """Find where a shape first leaves the recorded one; what follows from it is not told again."""
    off: set[Site] = set()
    for site in net.sites:
        row = record.get(site.name)
        top = site.tops[0] if site.tops else None
        if row is None or top is None or not row.shape or top == row.shape:
            continue
        off.add(site)
        if not any(maker in off for maker in site.makers):
            mend = "Undo the edit, or export the model again."
            saw, wanted = _size(top), f"{_size(row.shape)}, as in the source model"
            yield finding(7, "error", site.place, saw, wanted, mend, row.node or None)


def _rounded(site: Site) -> Iterator[Finding]:
    top = site.tops[0] if site.tops else None
    bottom = site.bottoms[0] if site.bottoms else None
    if top is None or bottom is None:
        return
    floor = _floor(site, bottom)
    if floor != top[2:]:
        mend = "See that it was trained with ceil_mode, or choose an input size where both agree."
        saw = f"{top[2]}x{top[3]} by rounding up, {floor[0]}x{floor[1]} by rounding down"
        wanted = "the size that the source model has"
        yield finding(7, "warning", site.place, saw, wanted, mend)


def _padded(site: Site, record: Mapping[str, Row]) -> Iterator[Finding]:
    param = site.layer.pooling_param
    pads = " x ".join(map(str, height_and_width(param, "pad", 0)))
    row = record.get(site.name)
    if param.pool != AVERAGE or pads == "0 x 0" or (row is not None and row.pads == pads):
        return
    saw, wanted = f"an average that counts {pads} padding", "a source model that counts it too"
    mend = "Set the pad to 0, or train with count_include_pad=1."
    severity: Severity = "error" if record else "warning"
    node = row.node or None if row is not None else None
    yield finding(8, severity, site.place, saw, wanted, mend, node)


def _floor(site: Site, bottom: Shape) -> Shape:
    param = site.layer.pooling_param
    kernel, stride = height_and_width(param, "kernel_size"), height_and_width(param, "stride", 1)
    pad = height_and_width(param, "pad", 0)
    return tuple(
        (size + 2 * p - k) // max(s, 1) + 1
        for size, k, s, p in zip(bottom[2:], kernel, stride, pad, strict=True)
    )


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape))

"""Rules 7 and 8: pooling, which Caffe rounds up and pads otherwise than other frameworks."""

__all__ = ["Source", "check_pools"]

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from quant.export.nnie_net import Net, Site
from quant.export.nnie_rules import finding
from quant.export.nnie_shapes import Shape, window
from quant.finding import Finding

AVERAGE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the source model says of one Caffe layer.

    Attributes:
        node: Name of the graph's node.
        shape: Of its output, with batch axis.
        counts_padding: For an average pool: whether padding counts.
    """

    node: str
    shape: Shape
    counts_padding: bool


def check_pools(net: Net, sources: Mapping[str, Source]) -> list[Finding]:
    """Return what breaks rules 7 and 8.

    Args:
        net: The Caffe network.
        sources: By layer name. A layer without one can only be warned about.
    """
    return [one for site in net.of("Pooling") for one in _pool(site, sources.get(site.name))]


def _pool(site: Site, source: Source | None) -> Iterator[Finding]:
    param = site.layer.pooling_param
    top = site.tops[0] if site.tops else None
    bottom = site.bottoms[0] if site.bottoms else None
    node = source.node if source is not None else None
    mend = "Choose padding or an input size that makes both agree."
    if source is not None and top is not None and top[1:] != source.shape[1:]:
        saw = f"{_size(top)}, rounded up"
        wanted = f"{_size(source.shape)}, as in the source model"
        yield finding(7, "error", site.place, saw, wanted, mend, node)
    if param.global_pooling:
        return
    if source is None and top is not None and bottom is not None:
        floor = _floor(site, bottom)
        if floor != top[2:]:
            saw = f"{top[2]}x{top[3]} by rounding up, {floor[0]}x{floor[1]} by rounding down"
            wanted = "a size that is the same in the model it was trained in"
            yield finding(7, "warning", site.place, saw, wanted, mend, node)
    if param.pool == AVERAGE and any(window(param, "pad", 0)):
        if source is None or not source.counts_padding:
            severity = "warning" if source is None else "error"
            saw = f"an average over {' x '.join(map(str, window(param, 'pad', 0)))} padding"
            wanted = "a source model that counts the padding, count_include_pad=1"
            mend = "Set the pad to 0 and pad before, or train with count_include_pad=1."
            yield finding(8, severity, site.place, saw, wanted, mend, node)


def _floor(site: Site, bottom: Shape) -> Shape:
    param = site.layer.pooling_param
    kernel, stride = window(param, "kernel_size"), window(param, "stride", 1)
    pad = window(param, "pad", 0)
    return tuple(
        (size + 2 * p - k) // max(s, 1) + 1
        for size, k, s, p in zip(bottom[2:], kernel, stride, pad, strict=True)
    )


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape[2:])) if len(shape) == 4 else str(list(shape))

"""Check pools, which Caffe rounds up and pads unlike other frameworks: rules 7 and 8."""

__all__ = ["check_pools"]

from collections.abc import Iterator, Mapping

from quant.export.caffe.network.shapes import Shape, height_and_width, shape_text
from quant.export.nnie.check.rules import finding
from quant.export.nnie.files.record import LayerRow
from quant.export.nnie.graph.mapper_net import MapperLayer, MapperNet
from quant.target.finding import Finding, Severity

AVERAGE = 1


def check_pools(net: MapperNet, record: Mapping[str, LayerRow]) -> list[Finding]:
    """Return the findings of rules 7 and 8.

    Args:
        net: The Caffe network.
        record: Rows of the export's record by layer name; {} for a network of another exporter,
            whose training framework is unknown, so that there are only warnings.
    """
    findings: list[Finding] = []
    if record:
        findings += _shapes(net, record)
    for layer in net.of_type("Pooling"):
        if not layer.proto.pooling_param.global_pooling:
            findings += [] if record else _rounded(layer)
            findings += _padded(layer, record)
    return findings


def _shapes(net: MapperNet, record: Mapping[str, LayerRow]) -> Iterator[Finding]:
    """Yield the layers whose shape first differs from the record, not those behind them."""
    changed: set[MapperLayer] = set()
    for layer in net.layers:
        row = record.get(layer.name)
        top = layer.tops[0] if layer.tops else None
        if row is None or top is None or not row.shape or top == row.shape:
            continue
        changed.add(layer)
        if not any(producer in changed for producer in layer.producers):
            mend = "Undo the edit, or export the model again."
            saw, wanted = shape_text(top), f"{shape_text(row.shape)}, as in the source model"
            yield finding(
                7, "error", layer.place, saw=saw, wanted=wanted, mend=mend, layer=row.node or None
            )


def _rounded(layer: MapperLayer) -> Iterator[Finding]:
    top = layer.tops[0] if layer.tops else None
    bottom = layer.bottoms[0] if layer.bottoms else None
    if top is None or bottom is None:
        return
    floor = _floor(layer, bottom)
    if floor != top[2:]:
        mend = "See that it was trained with ceil_mode, or choose an input size where both agree."
        saw = f"{top[2]}x{top[3]} by rounding up, {floor[0]}x{floor[1]} by rounding down"
        wanted = "the size that the source model has"
        yield finding(7, "warning", layer.place, saw=saw, wanted=wanted, mend=mend)


def _padded(layer: MapperLayer, record: Mapping[str, LayerRow]) -> Iterator[Finding]:
    param = layer.proto.pooling_param
    pads = " x ".join(map(str, height_and_width(param, "pad", 0)))
    row = record.get(layer.name)
    if param.pool != AVERAGE or pads == "0 x 0" or (row is not None and row.pads == pads):
        return
    saw, wanted = f"an average that counts {pads} padding", "a source model that counts it too"
    mend = "Set the pad to 0, or train with count_include_pad=1."
    severity: Severity = "error" if record else "warning"
    node = row.node or None if row is not None else None
    yield finding(8, severity, layer.place, saw=saw, wanted=wanted, mend=mend, layer=node)


def _floor(layer: MapperLayer, bottom: Shape) -> Shape:
    param = layer.proto.pooling_param
    kernel, stride = height_and_width(param, "kernel_size"), height_and_width(param, "stride", 1)
    pad = height_and_width(param, "pad", 0)
    return tuple(
        (size + 2 * p - k) // max(s, 1) + 1
        for size, k, s, p in zip(bottom[2:], kernel, stride, pad, strict=True)
    )

"""Check record.txt: its form, and that its numbers are those of the deploy model."""

__all__ = ["record_findings"]

from collections import Counter
from collections.abc import Mapping

import numpy as np

from quant.common.errors import InputError, few
from quant.export.atlas.check.view import Findings, View, finding
from quant.export.atlas.files.record import Record, parse_record
from quant.export.atlas.graph.integer_layer import MAX_SCALE, MIN_SCALE, unpack_scales

FILE = "file 'record.txt'"
AGAIN = "Export the model again."


def record_findings(view: View, text: str) -> Findings:
    """Yield the findings of rules 7, 11, 21 and 22."""
    try:
        records = parse_record(text, "record.txt")
    except InputError as error:
        saw = str(error).split("saw ", 1)[1].removesuffix(f". {AGAIN}")
        yield finding(
            22, "error", FILE, saw=saw, wanted="protobuf text of ScaleOffsetRecord", mend=AGAIN
        )
        return
    yield from _keys(view, records)
    by_layer = {record.key: record for record in records}
    for record in records:
        yield from _entry(record)
    yield from _models(view, by_layer)


def _keys(view: View, records: list[Record]) -> Findings:
    """Check that every INT8 layer has exactly one record."""
    keys = Counter(record.key for record in records)
    layers = {node.name for node in view.integer}
    unknown = sorted(set(keys) - layers)
    missing = sorted(layers - set(keys))
    repeated = sorted(key for key, count in keys.items() if count > 1)
    for names, saw in (
        (unknown, "keys that are no int8 layer"),
        (missing, "no record of layers"),
        (repeated, "duplicate keys"),
    ):
        if names:
            text = f"{saw}: {few(names)}"
            yield finding(
                21, "error", FILE, saw=text, wanted="one record for each int8 layer", mend=AGAIN
            )


def _entry(record: Record) -> Findings:
    place = f"record '{record.key}'"
    count = len(record.scale_w)
    if not count or len(record.offset_w) != count:
        saw = f"{count} scale_w and {len(record.offset_w)} offset_w"
        yield finding(
            22, "error", place, saw=saw, wanted="as many of both", mend=AGAIN, layer=record.key
        )
    if any(record.offset_w):
        saw = f"offset_w {max(record.offset_w, key=abs)}"
        yield finding(22, "error", place, saw=saw, wanted="0", mend=AGAIN, layer=record.key)
    if any(record.shift_bit):
        saw = f"shift_bit {max(record.shift_bit)}"
        yield finding(
            22, "error", place, saw=saw, wanted="none, or 0", mend=AGAIN, layer=record.key
        )
    scales = np.array([record.scale_d, *record.scale_w])
    good = (scales >= MIN_SCALE) & (scales <= MAX_SCALE)
    if not good.all():
        saw, wanted = f"a scale of {scales[~good][0]:.6g}", "1.19e-07 to 8.39e+06"
        yield finding(22, "error", place, saw=saw, wanted=wanted, mend=AGAIN, layer=record.key)
    if not -128 <= record.offset_d <= 127:
        saw = f"offset_d {record.offset_d}"
        yield finding(
            22, "error", place, saw=saw, wanted="-128 to 127", mend=AGAIN, layer=record.key
        )


def _models(view: View, by_layer: Mapping[str, Record]) -> Findings:
    """Yield the layers whose numbers differ between record and model."""
    for node in view.integer:
        record, quantizer = by_layer.get(node.name), view.quantizer(node)
        if record is None or quantizer is None:
            continue
        attributes = view.attributes_of(quantizer)
        if not isinstance(attributes.get("scale"), float):
            continue  # rule 4 reports it
        product = np.float32(attributes["scale"]) * np.float32(record.scale_d)
        if abs(float(product) - 1) > 2 * float(np.finfo(np.float32).eps):
            saw = f"scale {attributes.get('scale', 0.0):.9g} with scale_d {record.scale_d:.9g} in record.txt"
            yield finding(7, "error", quantizer, saw=saw, wanted="a product of 1", mend=AGAIN)
        if attributes.get("offset") != record.offset_d:
            saw = f"offset {attributes.get('offset')} with offset_d {record.offset_d} in record.txt"
            yield finding(7, "error", quantizer, saw=saw, wanted="the same number", mend=AGAIN)
        dequantizer = view.dequantizer(node)
        stored = view.array(dequantizer, 1) if dequantizer is not None else None
        if dequantizer is None or stored is None or stored.dtype != np.uint64:
            continue
        scales = np.float32(record.scale_d) * np.array(record.scale_w, np.float32)
        if stored.size != scales.size or not np.array_equal(unpack_scales(stored), scales):
            saw = "deq_scale other than scale_d * scale_w of record.txt"
            yield finding(
                11, "error", dequantizer, saw=saw, wanted="the float32 product", mend=AGAIN
            )

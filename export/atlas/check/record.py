"""Rules about record.txt: what it says, and that the deploy model says the same."""

__all__ = ["record_findings"]

from collections import Counter
from collections.abc import Mapping

import numpy as np

from quant.common.errors import InputError, few
from quant.export.atlas.check.view import Found, View, found
from quant.export.atlas.files.record import Record, parse_record
from quant.export.atlas.graph.integer_layer import LARGEST_SCALE, SMALLEST_SCALE, unpacked

FILE = "file 'record.txt'"
AGAIN = "Export the model again."


def record_findings(view: View, text: str) -> Found:
    """Yield the findings of rules 7, 11, 21 and 22."""
    try:
        every = parse_record(text, "record.txt")
    except InputError as error:
        saw = str(error).split("saw ", 1)[1].removesuffix(f". {AGAIN}")
        yield found(22, "error", FILE, saw, "protobuf text of ScaleOffsetRecord", AGAIN)
        return
    yield from _keys(view, every)
    held = {record.key: record for record in every}
    for record in every:
        yield from _entry(record)
    yield from _models(view, held)


def _keys(view: View, every: list[Record]) -> Found:
    """A record is of one layer, and each AscendDequant has its own."""
    keys = Counter(record.key for record in every)
    layers = {node.name for node in view.integer}
    strange = sorted(set(keys) - layers)
    missing = sorted(layers - set(keys))
    twice = sorted(key for key, count in keys.items() if count > 1)
    for names, saw in (
        (strange, "keys that are no int8 layer"),
        (missing, "no record of layers"),
        (twice, "keys that stand there twice"),
    ):
        if names:
            text = f"{saw}: {few(names)}"
            yield found(21, "error", FILE, text, "one record for each int8 layer", AGAIN)


def _entry(record: Record) -> Found:
    place = f"record '{record.key}'"
    count = len(record.scale_w)
    if not count or len(record.offset_w) != count:
        saw = f"{count} scale_w and {len(record.offset_w)} offset_w"
        yield found(22, "error", place, saw, "as many of both", AGAIN, layer=record.key)
    if any(record.offset_w):
        saw = f"offset_w {max(record.offset_w, key=abs)}"
        yield found(22, "error", place, saw, "0", AGAIN, layer=record.key)
    if any(record.shift_bit):
        saw = f"shift_bit {max(record.shift_bit)}"
        yield found(22, "error", place, saw, "none, or 0", AGAIN, layer=record.key)
    scales = np.array([record.scale_d, *record.scale_w])
    good = (scales >= SMALLEST_SCALE) & (scales <= LARGEST_SCALE)
    if not good.all():
        saw, wanted = f"a scale of {scales[~good][0]:.6g}", "1.19e-07 to 8.39e+06"
        yield found(22, "error", place, saw, wanted, AGAIN, layer=record.key)
    if not -128 <= record.offset_d <= 127:
        saw = f"offset_d {record.offset_d}"
        yield found(22, "error", place, saw, "-128 to 127", AGAIN, layer=record.key)


def _models(view: View, held: Mapping[str, Record]) -> Found:
    """Yield where record and model say different numbers."""
    for node in view.integer:
        record, quantizer = held.get(node.name), view.quantizer(node)
        if record is None or quantizer is None:
            continue
        told = view.told(quantizer)
        if not isinstance(told.get("scale"), float):
            continue  # rule 4 speaks of it
        product = np.float32(told["scale"]) * np.float32(record.scale_d)
        if abs(float(product) - 1) > 2 * float(np.finfo(np.float32).eps):
            saw = f"scale {told.get('scale', 0.0):.9g} with scale_d {record.scale_d:.9g} in record.txt"
            yield found(7, "error", quantizer, saw, "a product of 1", AGAIN)
        if told.get("offset") != record.offset_d:
            saw = f"offset {told.get('offset')} with offset_d {record.offset_d} in record.txt"
            yield found(7, "error", quantizer, saw, "the same number", AGAIN)
        dequantizer = view.dequantizer(node)
        stored = view.array(dequantizer, 1) if dequantizer is not None else None
        if dequantizer is None or stored is None or stored.dtype != np.uint64:
            continue
        scales = np.float32(record.scale_d) * np.array(record.scale_w, np.float32)
        if stored.size != scales.size or not np.array_equal(unpacked(stored), scales):
            saw = "deq_scale other than scale_d * scale_w of record.txt"
            yield found(11, "error", dequantizer, saw, "the float32 product", AGAIN)

"""The record of an export, `tensors.csv`: which Caffe blob is which tensor of the model."""

__all__ = ["RECORD", "Row", "read_record", "record_text"]

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

from quant.export.nnie_shapes import Shape

RECORD = "tensors.csv"
"""The file's name, beside the prototxt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One Caffe layer.

    Attributes:
        layer: Its name: layer dumps begin with it.
        type: Caffe's type.
        top: Its first top.
        shape: Of the top, with batch axis; () where it is not known.
        pads: Of a Pooling, "rows x columns"; the export has seen to what padding counts.
        tensor: Name of the same numbers in the model; "" for a step in between.
        node: Name of the node that makes them.
    """

    layer: str
    type: str
    top: str
    shape: Shape
    pads: str
    tensor: str
    node: str


def record_text(rows: Iterable[Row]) -> str:
    """Return the CSV, LF; a shape is written 1x8x16x16."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in fields(Row)])
    for row in rows:
        writer.writerow((asdict(row) | {"shape": "x".join(map(str, row.shape))}).values())
    return out.getvalue()


def read_record(text: str) -> dict[str, Row]:
    """Return the rows by layer; what is no such record gives none."""
    found = {}
    names = [field.name for field in fields(Row)]
    try:
        for row in csv.DictReader(io.StringIO(text)):
            values = {name: row[name] or "" for name in names}
            dims = tuple(int(d) for d in values["shape"].split("x") if d)
            found[values["layer"]] = Row(**{**values, "shape": dims})  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError, csv.Error):
        return {}
    return found

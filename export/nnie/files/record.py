"""The record of an export, `tensors.csv`: which Caffe blob is which tensor of the model."""

__all__ = ["RECORD", "Row", "read_record", "record_rows", "record_text"]

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

from quant.export.caffe.convert import CaffeNet
from quant.export.caffe.network.files import parse_prototxt
from quant.export.caffe.network.shapes import Shape, height_and_width
from quant.export.nnie.graph.mapper_net import net_of
from quant.graph.prepared_graph import Graph

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


def record_rows(graph: Graph, caffe: CaffeNet) -> list[Row]:
    """Return a row for each Caffe layer."""
    makers = {layer: node for node, layer in caffe.layers.items()}
    tensors = {str(node.name): str(node.outputs[0].name) for node in graph.nodes}
    rows = []
    for site in net_of(parse_prototxt(caffe.prototxt, graph.name)).sites:
        node = makers.get(site.name, "")
        pooling = site.type == "Pooling" and not site.layer.pooling_param.global_pooling
        pads = height_and_width(site.layer.pooling_param, "pad", 0) if pooling else ()
        rows.append(
            Row(
                layer=site.name,
                type=site.type,
                top=str(site.layer.top[0]),
                shape=site.tops[0] or (),
                pads=" x ".join(map(str, pads)),
                tensor=tensors.get(node, ""),
                node=node,
            )
        )
    return rows

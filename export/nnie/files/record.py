"""`tensors.csv`, the record of an export: the tensor of the model for each Caffe layer."""

__all__ = ["RECORD", "LayerRow", "read_record", "record_rows", "record_text"]

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

from quant.export.caffe.convert import CaffeNet
from quant.export.caffe.network.files import parse_prototxt
from quant.export.caffe.network.shapes import Shape, height_and_width, shape_text
from quant.export.nnie.graph.mapper_net import net_of
from quant.graph.prepared_graph import Graph

RECORD = "tensors.csv"
"""Name of the file beside the prototxt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One Caffe layer.

    Attributes:
        layer: Its name, with which the names of layer dumps begin.
        type: Caffe's type.
        top: Its first top.
        shape: Shape of the top, with batch axis; () where it is not known.
        pads: Padding of a Pooling, "rows x columns", which the export has checked; else "".
        tensor: Name of the model's tensor with the same numbers; "" for an intermediate layer.
        node: Name of the node that computes it.
    """

    layer: str
    type: str
    top: str
    shape: Shape
    pads: str
    tensor: str
    node: str


def record_text(rows: Iterable[LayerRow]) -> str:
    """Return the CSV with LF line ends; a shape is written 1x8x16x16."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in fields(LayerRow)])
    for row in rows:
        writer.writerow((asdict(row) | {"shape": shape_text(row.shape)}).values())
    return out.getvalue()


def read_record(text: str) -> dict[str, LayerRow]:
    """Return the rows by layer; a text that is no record gives {}."""
    rows = {}
    names = [field.name for field in fields(LayerRow)]
    try:
        for row in csv.DictReader(io.StringIO(text)):
            values = {name: row[name] or "" for name in names}
            dims = tuple(int(d) for d in values["shape"].split("x") if d)
            rows[values["layer"]] = LayerRow(**{**values, "shape": dims})  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError, csv.Error):
        return {}
    return rows


def record_rows(graph: Graph, caffe: CaffeNet) -> list[LayerRow]:
    """Return a row for each Caffe layer."""
    nodes = {name: node for node, name in caffe.layers.items()}
    tensors = {str(node.name): str(node.outputs[0].name) for node in graph.nodes}
    rows = []
    for layer in net_of(parse_prototxt(caffe.prototxt, graph.name)).layers:
        node = nodes.get(layer.name, "")
        pooling = layer.type == "Pooling" and not layer.proto.pooling_param.global_pooling
        pads = height_and_width(layer.proto.pooling_param, "pad", 0) if pooling else ()
        rows.append(
            LayerRow(
                layer=layer.name,
                type=layer.type,
                top=str(layer.proto.top[0]),
                shape=layer.tops[0] or (),
                pads=" x ".join(map(str, pads)),
                tensor=tensors.get(node, ""),
                node=node,
            )
        )
    return rows

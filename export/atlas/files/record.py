"""AMCT's record file: the scales and offsets of each INT8 layer, in protobuf's text format."""

__all__ = ["Record", "parse_record", "record_text"]

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)

from quant.common.errors import InputError
from quant.export.atlas.graph.integer_layer import IntegerLayer
from quant.export.atlas.version import OLD_CHIP

FIELDS: tuple[tuple[str, int, str, str], ...] = (
    ("scale_d", 1, "optional", "float"),
    ("offset_d", 2, "optional", "int32"),
    ("scale_w", 3, "repeated", "float"),
    ("offset_w", 4, "repeated", "int32"),
    ("shift_bit", 5, "repeated", "uint32"),
    ("skip_fusion", 6, "optional", "bool"),
    ("is_tensor_quantize", 10, "optional", "bool"),
    ("tensor_balance_factor", 13, "repeated", "float"),
    ("op_data_type", 15, "optional", "string"),
    ("act_type", 20, "optional", "string"),
    ("wts_type", 21, "optional", "string"),
)
"""Fields of `SingleLayerRecord`: AMCT for ONNX, CANN 7.0, 8.0, `scale_offset_record_onnx.proto`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The record of one layer; both scales are steps, not reciprocals."""

    key: str
    scale_d: float
    offset_d: int
    scale_w: tuple[float, ...]
    offset_w: tuple[int, ...]
    shift_bit: tuple[int, ...]


def record_text(layers: Sequence[IntegerLayer], soc_version: str) -> str:
    """Return the record file; a layer's key is its node name.

    Types are omitted for Ascend310, whose AMCT may not know the fields; int8 is their default.
    """
    message = _message("ScaleOffsetRecord")()
    for layer in layers:
        entry = message.record.add()
        entry.key = layer.name
        entry.value.scale_d = float(layer.scale_d)
        entry.value.offset_d = layer.offset
        entry.value.scale_w.extend(float(s) for s in layer.scale_w)
        entry.value.offset_w.extend(0 for _ in layer.scale_w)
        if soc_version != OLD_CHIP:  # whose AMCT may lack these, and refuses strange fields
            entry.value.act_type = "INT8"
            if layer.weight is not None:
                entry.value.wts_type = "INT8"
    return str(text_format.MessageToString(message))


def parse_record(text: str, place: str) -> list[Record]:
    """Return the entries of a record file in order.

    Raises:
        InputError: The text is no record file; the message starts with `place`.
    """
    message = _message("ScaleOffsetRecord")()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        reason = " ".join(str(error).split()).replace("'", '"').rstrip(".")
        raise InputError(
            f"{place}: a record file is protobuf text of AMCT's ScaleOffsetRecord, saw '{reason}'. "
            "Export the model again."
        ) from error
    return [
        Record(
            key=entry.key,
            scale_d=entry.value.scale_d,
            offset_d=entry.value.offset_d,
            scale_w=tuple(entry.value.scale_w),
            offset_w=tuple(entry.value.offset_w),
            shift_bit=tuple(entry.value.shift_bit),
        )
        for entry in message.record
    ]


@cache
def _message(name: str) -> Any:
    """Return a message class of the schema, built without a generated file."""
    file = descriptor_pb2.FileDescriptorProto(
        name="quant/ascend_record.proto", package="AMCTOnnx", syntax="proto2"
    )
    layer = file.message_type.add(name="SingleLayerRecord")
    kinds = descriptor_pb2.FieldDescriptorProto
    for field, number, label, kind in FIELDS:
        layer.field.add(
            name=field,
            number=number,
            label=getattr(kinds, f"LABEL_{label.upper()}"),
            type=getattr(kinds, f"TYPE_{kind.upper()}"),
        )
    entry = file.message_type.add(name="MapFiledEntry")  # sic, AMCT's spelling
    entry.field.add(name="key", number=1, label=1, type=kinds.TYPE_STRING)
    value = entry.field.add(name="value", number=2, label=1, type=kinds.TYPE_MESSAGE)
    value.type_name = ".AMCTOnnx.SingleLayerRecord"
    records = file.message_type.add(name="ScaleOffsetRecord")
    row = records.field.add(name="record", number=1, label=3, type=kinds.TYPE_MESSAGE)
    row.type_name = ".AMCTOnnx.MapFiledEntry"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"AMCTOnnx.{name}"))

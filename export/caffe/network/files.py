"""Read and write Caffe networks: prototxt text, caffemodel bytes, and blobs as arrays."""

__all__ = [
    "blob_array",
    "blob_bytes",
    "blob_of",
    "blob_shape",
    "caffemodel_bytes",
    "parse_blob",
    "parse_caffemodel",
    "parse_prototxt",
    "print_prototxt",
    "set_weights",
]

import re
from math import prod
from typing import Any

import numpy as np
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.export.caffe.network.messages import EXTENSION, message

V1_LAYERS = 2
"""Number of NetParameter's field `layers`, which held the layers before Caffe 1.0."""


def parse_prototxt(text: str, place: str) -> Any:
    """Return the NetParameter of a prototxt; `place` is the name of its file, for messages.

    Raises:
        InputError: The text is broken, or has a field that the dialect lacks (`ceil_mode`).
    """
    try:
        return text_format.Parse(text, message("NetParameter"))
    except text_format.ParseError as error:
        reason = str(error).split(" : ", 1)[-1].rstrip(".")
        line = error.GetLine() or 1
        unknown = re.search(r'Message type "caffe\.(\w+)" has no field named "(\w+)"', reason)
        if unknown is None:
            raise InputError(
                f"{place}:{line}: a prototxt must be protobuf text, and reading stopped with: "
                f"{reason}. Mend the line."
            ) from error
        raise InputError(
            f"{place}:{line}: every field must be known to NNIE's Caffe dialect, and {unknown[1]} "
            f"has no '{unknown[2]}'. Remove it."
        ) from error


def print_prototxt(net: Any) -> str:
    """Return a NetParameter as text, without its blobs; numbers read back to the same float32."""
    bare = message("NetParameter")
    bare.CopyFrom(net)
    for layer in bare.layer:
        del layer.blobs[:]
    text: str = text_format.MessageToString(bare, as_utf8=False)
    return text


def parse_caffemodel(data: bytes, place: str) -> Any:
    """Return the NetParameter that a caffemodel holds; fields of other dialects are ignored.

    Raises:
        InputError: The bytes are no NetParameter, or are one from before Caffe 1.0 (`layers`).
    """
    net = message("NetParameter")
    try:
        net.ParseFromString(data)
    except DecodeError as error:
        raise InputError(
            f"{place}: a caffemodel must be a binary NetParameter, and its {len(data)} bytes are "
            "none. Give the file that belongs to the prototxt."
        ) from error
    if not net.layer and any(f.field_number == V1_LAYERS for f in UnknownFieldSet(net)):
        raise InputError(
            f"{place}: the layers must stand in the field 'layer' of Caffe 1.0, and stand in "
            "'layers'. Convert the file with Caffe's upgrade_net_proto_binary."
        )
    return net


def caffemodel_bytes(net: Any) -> bytes:
    """Return a NetParameter in binary, the same bytes every time.

    The parameters of layers that Caffe 1.0 lacks stay out: their field numbers are not public, and
    readers take the structure from the prototxt.
    """
    public = message("NetParameter")
    public.CopyFrom(net)
    for layer in public.layer:
        for field, _ in layer.ListFields():
            if field.number >= EXTENSION:
                layer.ClearField(field.name)
    data: bytes = public.SerializeToString(deterministic=True)
    return data


def blob_of(array: NDArray[Any]) -> Any:
    """Return a BlobProto that holds the array as float32."""
    blob = message("BlobProto")
    blob.shape.dim.extend(array.shape)
    blob.data.extend(np.ascontiguousarray(array, np.float32).reshape(-1))
    return blob


def set_weights(layer: Any, *arrays: NDArray[Any]) -> None:
    """Give a LayerParameter these arrays as its blobs, in float32."""
    layer.blobs.extend(blob_of(array) for array in arrays)


def blob_shape(blob: Any) -> tuple[int, ...]:
    """Return a blob's shape; the four fields from before Caffe 1.0 count where `shape` is unset."""
    if blob.HasField("shape"):
        return tuple(int(d) for d in blob.shape.dim)
    return int(blob.num), int(blob.channels), int(blob.height), int(blob.width)


def blob_array(blob: Any, place: str) -> NDArray[np.float32]:
    """Return a blob's numbers, float32 in its shape.

    Raises:
        InputError: The number of elements is not that of the shape.
    """
    numbers = np.array(blob.data if blob.data else blob.double_data, np.float32)
    shape = blob_shape(blob)
    if numbers.size != prod(shape):
        raise InputError(
            f"{place}: a blob must hold the numbers of its shape, saw {numbers.size} for "
            f"{list(shape)}. Write the file again."
        )
    return numbers.reshape(shape)


def blob_bytes(array: NDArray[Any]) -> bytes:
    """Return a `.binaryproto` file, Caffe's form of a mean image: float32 `[1, C, H, W]`."""
    blob = message("BlobProto")
    padded = array.reshape((1,) * (4 - array.ndim) + array.shape)
    blob.num, blob.channels, blob.height, blob.width = padded.shape
    blob.data.extend(np.ascontiguousarray(padded, np.float32).reshape(-1))
    data: bytes = blob.SerializeToString(deterministic=True)
    return data


def parse_blob(data: bytes, place: str) -> NDArray[np.float32]:
    """Return the array of a `.binaryproto` file.

    Raises:
        InputError: The bytes are no BlobProto, or it lacks numbers.
    """
    blob = message("BlobProto")
    try:
        blob.ParseFromString(data)
    except DecodeError as error:
        raise InputError(
            f"{place}: a binaryproto must be a binary BlobProto, and its {len(data)} bytes are "
            "none. Write the mean image again."
        ) from error
    return blob_array(blob, place)

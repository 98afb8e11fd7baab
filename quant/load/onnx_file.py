"""Read an ONNX file as a proto whose weights stay on disk, or raise with what is wrong with it."""

__all__ = ["check_external", "check_proto", "read_model", "read_proto"]

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from quant.common.errors import InputError, UnsupportedError, few, reason_of


def check_external(path: Path, tensor: onnx.TensorProto) -> None:
    """Raise unless the tensor's bytes lie in a file inside the model's folder.

    Raises:
        InputError: The file lies outside of the folder, is missing or is too short.
    """
    place = f"{path}, initializer '{tensor.name}'"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    outside = posix.is_absolute() or bool(windows.anchor) or ".." in windows.parts
    folder = path.resolve().parent
    file = folder / location
    if outside or not location or not file.resolve().is_relative_to(folder):
        raise InputError(
            f"{place}: External data must lie in the model's folder, saw '{location}'. "
            "Save the model again with its data beside it."
        )
    if not file.is_file():
        raise InputError(
            f"{place}: External data must be a file beside the model, and '{location}' is none. "
            "Copy it there, too."
        )
    start, length, size = _extent(place, tensor, entries)
    if length != size or start + length > file.stat().st_size:
        raise InputError(
            f"{place}: External data must hold {size} bytes from byte {start} on, saw "
            f"{max(0, min(length, file.stat().st_size - start))} in '{location}'. "
            "Copy the data file again."
        )


def _extent(place: str, tensor: onnx.TensorProto, entries: dict[str, str]) -> tuple[int, int, int]:
    """Return the tensor's start, its stated length and the length that its shape needs, in bytes."""
    bits = 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    name = onnx.TensorProto.DataType.Name(tensor.data_type)
    if name.endswith(("INT4", "4E2M1")):
        bits = 4
    size = -(-int(np.prod(list(tensor.dims), dtype=object)) * bits // 8)
    start, length = entries.get("offset", "0"), entries.get("length", str(size))
    if not (start.isdecimal() and length.isdecimal()):
        raise InputError(
            f"{place}: External data must have an offset and a length of 0 or more, saw '{start}' "
            f"and '{length}'. Save the model again."
        )
    return int(start), int(length), size


PROTOBUF_END = 2**31
"""Bytes at which no protobuf parser reads on (protobuf's encoding guide, "Total Size")."""


def read_proto(path: Path) -> onnx.ModelProto:
    """Return the model in an ONNX file; external tensors are checked and left where they are.

    Raises:
        InputError: The path is missing, a folder, not ONNX or truncated; or an external tensor
            leaves the model's folder, is missing or is too short.
        UnsupportedError: The model has a sparse initializer.
    """
    proto = _parse(path, _bytes(path))
    _refuse_sparse(proto, str(path))
    for tensor in _tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            check_external(path, tensor)
    return proto


def read_model(path: Path) -> ir.Model:
    """Return the graph of an ONNX file as it stands there; external weights stay in their files.

    Raises:
        InputError: As `read_proto`.
    """
    model = ir.from_proto(read_proto(path))
    ir.external_data.set_base_dir(model.graph, path.resolve().parent)
    return model


def check_proto(proto: onnx.ModelProto, place: str) -> None:
    """Raise unless a model in memory is whole.

    Raises:
        InputError: It has no node or no opset, or a tensor's numbers are still in a file.
        UnsupportedError: It has a sparse initializer.
    """
    if not proto.graph.node or not proto.opset_import:
        part = "node" if not proto.graph.node else "opset"
        raise InputError(
            f"{place}: A model must have nodes and an opset, saw no {part}. Load it again."
        )
    _refuse_sparse(proto, place)
    for tensor in _tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise InputError(
                f"{place}, initializer '{tensor.name}': The numbers of a model in memory must be in "
                "memory, and these are in a file. Give the model's path, or load external data."
            )


def _refuse_sparse(proto: onnx.ModelProto, place: str) -> None:
    if proto.graph.sparse_initializer:
        name = proto.graph.sparse_initializer[0].values.name
        raise UnsupportedError(
            f"{place}, initializer '{name}': Weights must be dense tensors, and this one is sparse. "
            "Export the model with dense weights."
        )


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        models = sorted(p.name for p in path.glob("*.onnx"))
        mend = f"Name one of its files: {few(models)}." if models else "Name an .onnx file."
        raise InputError(f"{path}: A model must be a file, and this is a folder. {mend}")
    if not path.exists():
        names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = get_close_matches(path.name, names, n=1)
        mend = f"Did you mean '{near[0]}'?" if near else "Check the path after --model."
        raise InputError(f"{path}: A model must be an existing file, and nothing is here. {mend}")
    try:
        if path.stat().st_size >= PROTOBUF_END:
            raise InputError(
                f"{path}: An ONNX file must be smaller than 2 GB, saw {path.stat().st_size} bytes. "
                "Save the model with external data."
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: A model must be a file that can be read, saw '{reason_of(error)}'. "
            "Check its permissions."
        ) from error


def _parse(path: Path, data: bytes) -> onnx.ModelProto:
    if not data:
        raise InputError(f"{path}: A model must be an ONNX file, saw 0 bytes. Export it again.")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        if data[0] == 0x08:  # the tag of ir_version, with which every writer begins
            raise _truncated(path, len(data), "does not parse to its end") from error
        raise _foreign(path, data) from error
    if proto.ir_version == 0 or not (proto.graph.node or proto.opset_import):
        raise _foreign(path, data)
    if not proto.graph.node:
        raise _truncated(path, len(data), "holds no node")
    if not proto.opset_import:
        raise _truncated(path, len(data), "names no opset")
    return proto


def _foreign(path: Path, data: bytes) -> InputError:
    start = data[:8].decode("ascii", "backslashreplace")
    start = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in start).replace("'", '"')
    return InputError(
        f"{path}: A model must be an ONNX file, saw {len(data)} bytes that start with '{start}'. "
        "Export the model to ONNX, or give a PyTorch one as module:factory."
    )


def _truncated(path: Path, size: int, symptom: str) -> InputError:
    return InputError(
        f"{path}: An ONNX file must be whole, and after {size} bytes this one {symptom}: it is "
        "truncated or damaged. Copy or export it again."
    )


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of the graph, its subgraphs and the functions."""
    yield from _graph_tensors(proto.graph)
    for function in proto.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        yield from (t for t in [attribute.t, *attribute.tensors] if t.data_type)
        for graph in [attribute.g, *attribute.graphs]:
            yield from _graph_tensors(graph)

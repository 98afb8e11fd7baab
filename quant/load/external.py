"""Check that an external tensor's bytes lie in a file inside the model's folder."""

__all__ = ["check_external"]

from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx

from quant.common.errors import InputError


def check_external(path: Path, tensor: onnx.TensorProto) -> None:
    """Raise unless the tensor's bytes lie in a file inside the model's folder."""
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
    start, length, wanted = _extent(place, tensor, entries)
    if length != wanted or start + length > file.stat().st_size:
        raise InputError(
            f"{place}: External data must hold {wanted} bytes from byte {start} on, saw "
            f"{max(0, min(length, file.stat().st_size - start))} in '{location}'. "
            "Copy the data file again."
        )


def _extent(place: str, tensor: onnx.TensorProto, entries: dict[str, str]) -> tuple[int, int, int]:
    """Return the tensor's start, its stated length and the length that its shape needs, in bytes."""
    bits = 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    name = onnx.TensorProto.DataType.Name(tensor.data_type)
    if name.endswith(("INT4", "4E2M1")):
        bits = 4
    wanted = -(-int(np.prod(list(tensor.dims), dtype=object)) * bits // 8)
    start, length = entries.get("offset", "0"), entries.get("length", str(wanted))
    if not (start.isdecimal() and length.isdecimal()):
        raise InputError(
            f"{place}: External data must have an offset and a length of 0 or more, saw '{start}' "
            f"and '{length}'. Save the model again."
        )
    return int(start), int(length), wanted

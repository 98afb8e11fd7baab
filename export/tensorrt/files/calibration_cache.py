"""Calibration caches and dynamic ranges for implicit INT8 of TensorRT 8 and 10.

A cache is text: `TRT-<version>-<algorithm>`, then `<tensor>: <hex>` on each line, where the eight
hex digits are the big-endian bits of float32 `scale = largest magnitude / 127`. Source: NVIDIA,
sampleINT8 README, "Calibration file"; trtexec 10.16 `readScalesFromCalibrationCache`.
"""

__all__ = ["ALGORITHMS", "Cache", "cache_text", "range_json", "range_text", "read_cache"]

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant.common.errors import InputError, few, reason_of
from quant.export.tensorrt.graph.names import BAD_TENSOR
from quant.export.tensorrt.version import trt_version

ALGORITHMS = ("EntropyCalibration2", "MinMaxCalibration")
"""Names of IInt8EntropyCalibrator2, the only one that trtexec reads, and IInt8MinMaxCalibrator."""

LEVELS = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """The content of a calibration cache.

    Attributes:
        number: NV_TENSORRT_VERSION of the first line, 8601 for 8.6.1.
        algorithm: One of `ALGORITHMS`.
        scales: Tensor name to float32 scale, in the order of the file.
    """

    number: int
    algorithm: str
    scales: Mapping[str, float]


def cache_text(
    scales: Mapping[str, float], version: str = "8.6.1", algo: str = "EntropyCalibration2"
) -> str:
    r"""Return a calibration cache.

    Args:
        scales: Tensor name to largest magnitude / 127, in the order of the lines.
        version: Version of TensorRT; another version calibrates anew instead of reading the cache.
        algo: One of `ALGORITHMS`; trtexec reads only "EntropyCalibration2".

    Raises:
        InputError: A name would break readers, a scale is no finite number above 0, or the
            algorithm or version is unknown.

    >>> cache_text({"input": 1 / 127})
    'TRT-8601-EntropyCalibration2\ninput: 3c010204\n'
    """
    if algo not in ALGORITHMS:
        raise InputError(
            f"calibration cache: the algorithm must be one of {few(ALGORITHMS)}, saw '{algo}'. "
            "Take the first for trtexec."
        )
    lines = [f"TRT-{trt_version(version).number}-{algo}"]
    for name, scale in scales.items():
        _check_entry(name, scale, BAD_TENSOR, "': '")
        lines.append(f"{name}: {struct.pack('>f', np.float32(scale)).hex()}")
    return "\n".join(lines) + "\n"


def _check_entry(name: str, scale: float, bad: re.Pattern[str], separator: str) -> None:
    if bad.search(name):
        raise InputError(
            f"calibration cache: the name of a tensor must have no {separator} and no line end, saw "
            f"{name!r}. Rename the tensor."
        )
    if not (np.isfinite(np.float32(scale)) and np.float32(scale) > 0):
        raise InputError(
            f"calibration cache: the scale of '{name}' must be a finite number above 0, saw "
            f"{scale:g}. Give a dead tensor scale 1."
        )


def read_cache(path: Path) -> Cache:
    """Read a calibration cache.

    Raises:
        InputError: The file cannot be read, or a line is malformed; the message has its number.
    """
    try:
        lines = path.read_bytes().decode().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: not a readable calibration cache: {reason_of(error)}. Write it anew."
        ) from error
    head = re.fullmatch(r"TRT-(\d{4,6})-(\w+)", lines[0])
    if head is None or head[2] not in ALGORITHMS:
        raise InputError(
            f"{path}:1: a cache must begin with 'TRT-<version>-<algorithm>', saw "
            f"{lines[0][:60]!r}. Write it anew."
        )
    scales = {}
    for number, line in enumerate(lines[1:], 2):
        if not line and number == len(lines):
            break  # the file's last line end
        match = re.fullmatch(r"(.+): ([0-7][0-9a-f]{7})", line)
        if match is None:
            raise InputError(
                f"{path}:{number}: a line must be '<tensor>: <8 hex digits>', saw {line[:60]!r}. "
                "Write it anew."
            )
        scales[match[1]] = float(struct.unpack(">f", bytes.fromhex(match[2]))[0])
    return Cache(number=int(head[1]), algorithm=head[2], scales=scales)


def range_json(scales: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return the ranges as PPQ writes them: `{"act_quant_info": {tensor: scale * 127}}`."""
    return {"act_quant_info": {name: _range(scale) for name, scale in scales.items()}}


def _range(scale: float) -> float:
    """Return the largest magnitude, rounded to float32 as the tools hold it."""
    return float(np.float32(float(scale) * LEVELS))


def range_text(scales: Mapping[str, float]) -> str:
    """Return one `<tensor>: <largest magnitude>` per line, as NVIDIA's sampleINT8API reads it.

    Raises:
        InputError: A name has a line end or a colon, at which the sample splits, or a scale is no
            finite number above 0.
    """
    lines = []
    for name, scale in scales.items():
        _check_entry(name, scale, re.compile(rf"{BAD_TENSOR.pattern}|:"), "':'")
        lines.append(f"{name}: {_range(scale):.9g}\n")
    return "".join(lines)

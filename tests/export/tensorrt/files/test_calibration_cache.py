"""Calibration caches and range files, byte for byte."""

import json
from pathlib import Path

import numpy as np
import pytest

from quant.common.errors import InputError
from quant.export.tensorrt.files.calibration_cache import (
    cache_text,
    range_json,
    range_text,
    read_cache,
)
from quant.export.tensorrt.version import trt_version

NVIDIA = """TRT-7000-EntropyCalibration2
data: 3c008912
conv1: 3c88edfc
pool1: 3c88edfc
conv2: 3ddc858b
pool2: 3ddc858b
ip1: 3db6bd6e
ip2: 3e691968
prob: 3c010a14
"""
"""NVIDIA, TensorRT 8.4, samples/sampleINT8/README.md, "Calibration file"."""


def test_nvidias_sample_reads_back_to_its_bytes(tmp_path: Path) -> None:
    """The first line aside: no version that we write for is 7.0."""
    path = tmp_path / "a.cache"
    path.write_bytes(NVIDIA.encode())
    held = read_cache(path)

    assert (held.number, held.algorithm) == (7000, "EntropyCalibration2")
    assert list(held.scales) == ["data", "conv1", "pool1", "conv2", "pool2", "ip1", "ip2", "prob"]
    assert held.scales["prob"] * 127 == pytest.approx(1.0002, abs=5e-5)  # as its README says
    assert cache_text(held.scales).split("\n", 1)[1] == NVIDIA.split("\n", 1)[1]


def test_a_scale_is_the_range_over_127_in_big_endian_bits() -> None:
    """0x3c010204 = sign 0, exponent 120, fraction 0x010204: 2**-7 * (1 + 66052 / 2**23)."""
    by_hand = 2.0**-7 * (1 + 0x010204 / 2**23)

    assert cache_text({"x": 1 / 127}) == "TRT-8601-EntropyCalibration2\nx: 3c010204\n"
    assert by_hand == pytest.approx(1 / 127, rel=2**-24)


@pytest.mark.parametrize(
    ("version", "number"),
    [
        ("8", 8601),
        ("8.2.3", 8203),
        ("8.6.2.3", 8602),
        ("10", 100300),
        ("10.3.0", 100300),
        ("10.16", 101600),
    ],
)
def test_the_version_is_one_number(version: str, number: int) -> None:
    """Ten times as many places from 10.0 on: headers of 8.6 and 10.16."""
    assert trt_version(version).number == number
    assert cache_text({}, version, "MinMaxCalibration") == f"TRT-{number}-MinMaxCalibration\n"


def test_the_version_reads_as_it_is_written() -> None:
    assert [str(trt_version(v)) for v in ("8", "10.3.0", "11")] == ["8.6.1", "10.3.0", "11.0.0"]
    assert [trt_version(v).implicit for v in ("8", "10", "11")] == [True, True, False]


@pytest.mark.parametrize("name", ["a: b", "a\nb", " a", "a ", "a\r", "a:", ""])
def test_a_name_that_breaks_readers_is_refused(name: str) -> None:
    with pytest.raises(InputError) as caught:
        cache_text({name: 0.1})

    assert str(caught.value) == (
        "calibration cache: the name of a tensor must have no ': ' and no line end, saw "
        f"{name!r}. Rename the tensor."
    )


@pytest.mark.parametrize("name", ["model/conv:0", "a b", "é", "$(rm -rf x)", "a'b\"c", "::1"])
def test_other_odd_names_read_back(name: str, tmp_path: Path) -> None:
    """A single colon is harmless: trtexec looks for the last one, ModelOpt for ': '."""
    path = tmp_path / "a.cache"
    path.write_text(cache_text({name: 0.25}), encoding="utf-8")
    line = path.read_text(encoding="utf-8").split("\n")[1]

    assert read_cache(path).scales == {name: 0.25}
    assert int(line[line.rfind(":") + 2 :][:8], 16) == 0x3E800000  # as trtexec reads it
    assert line.split(": ")[0] == name  # as ModelOpt does


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan, 1e-60])
def test_a_scale_that_is_none_is_refused(scale: float) -> None:
    with np.errstate(under="ignore"), pytest.raises(InputError) as caught:
        cache_text({"x": scale})

    assert str(caught.value) == (
        f"calibration cache: the scale of 'x' must be a finite number above 0, saw {scale:g}. Give "
        "a dead tensor scale 1."
    )


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        cache_text({}, algo="Legacy")

    assert str(caught.value) == (
        "calibration cache: the algorithm must be one of 'EntropyCalibration2', "
        "'MinMaxCalibration', saw 'Legacy'. Take the first for trtexec."
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "TRT-8-Entropy\n",
            (
                ":1: a cache must begin with 'TRT-<version>-<algorithm>', saw 'TRT-8-Entropy'. Write "
                "it anew."
            ),
        ),
        (
            "TRT-8601-MinMaxCalibration\nx 3c010204\n",
            ":2: a line must be '<tensor>: <8 hex digits>', saw 'x 3c010204'. Write it anew.",
        ),
        (
            "TRT-8601-MinMaxCalibration\nx: 3c010204\n\ny: 3c010204\n",
            ":3: a line must be '<tensor>: <8 hex digits>', saw ''. Write it anew.",
        ),
        (
            "TRT-8601-MinMaxCalibration\nx: bc010204\n",
            ":2: a line must be '<tensor>: <8 hex digits>', saw 'x: bc010204'. Write it anew.",
        ),
    ],
)
def test_a_file_that_is_no_cache_is_refused_with_its_line(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.cache"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_cache(path)

    assert str(caught.value) == f"{path}{message}"


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_cache(tmp_path / "a.cache")

    assert str(caught.value).startswith(f"{tmp_path}/a.cache: not a readable calibration cache: ")
    assert str(caught.value).endswith(". Write it anew.")


def test_range_files_hold_the_largest_magnitude() -> None:
    """Scale times 127, not the scale: the commonest confusion of the two."""
    scales = {"x": 0.5, "y z": float(np.float32(1 / 127))}

    assert json.loads(json.dumps(range_json(scales)))["act_quant_info"]["x"] == 63.5
    assert range_text(scales) == "x: 63.5\ny z: 1\n"
    assert [line.split(":")[0] for line in range_text(scales).splitlines()] == ["x", "y z"]


def test_a_colon_is_refused_in_the_text_of_ranges() -> None:
    """NVIDIA's sample cuts at the first one."""
    with pytest.raises(InputError) as caught:
        range_text({"a:0": 0.5})

    assert str(caught.value) == (
        "calibration cache: the name of a tensor must have no ':' and no line end, saw 'a:0'. "
        "Rename the tensor."
    )

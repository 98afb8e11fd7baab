"""Device files: every mistake in one sentence."""

from pathlib import Path

import pytest

from quant.common.errors import InputError
from quant.cost.device_file import load_device, pick_device
from quant.target.device import Device
from quant.target.table import TARGETS

GOOD = """
title = "Our board"
bandwidth = 12.8e9
overhead = 5e-6
efficiency = 0.6

[peak]
int8 = 1e12
float16 = 500_000_000_000

[sources]
bandwidth = "stream"
peak.int8 = "sheet"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "board.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_whole_file_is_a_device(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)

    assert load_device(path) == Device(
        name="board",
        title="Our board",
        peak={"int8": 1e12, "float16": 5e11},
        bandwidth=12.8e9,
        overhead=5e-6,
        efficiency=0.6,
        sources={
            "peak.int8": "sheet",
            "peak.float16": str(path),
            "bandwidth": "stream",
            "overhead": str(path),
            "efficiency": str(path),
        },
    )


def test_one_peak_is_enough(tmp_path: Path) -> None:
    found = load_device(written(tmp_path, "name = 'b'\npeak.int8 = 1e9"))

    assert (found.name, found.title, found.bandwidth) == ("b", "b", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("peak = ", "is not TOML: Invalid value (at end of document). Mend that place."),
        (
            "bandwith = 1e9\n[peak]\nint8 = 1e12",
            (
                "a device file has no key 'bandwith'. Did you mean 'bandwidth'? Known: name, title, "
                "bandwidth, overhead, efficiency, peak, sources."
            ),
        ),
        (
            "title = 'x'",
            (
                "a device needs a table [peak] with one precision or more, saw none. Write for example "
                "int8 = 8e12 below [peak]."
            ),
        ),
        ("peak = 3", "peak must be a table, saw '3'. Write [peak] above it."),
        (
            "peak.int9 = 1e12",
            (
                "[peak] has no key 'int9'. Did you mean 'int8'? Known: int8, int16, w4a8, w4a4, w8a16, "
                "fp8, float16, float32."
            ),
        ),
        (
            "peak.int8 = 8",
            "peak.int8 is in operations a second, at least 1e+06, saw '8'. Write 8e12 for 8 * 10**12.",
        ),
        (
            "peak.int8 = true",
            (
                "peak.int8 is in operations a second, at least 1e+06, saw 'True'. Write 8e12 for "
                "8 * 10**12."
            ),
        ),
        (
            "bandwidth = nan\npeak.int8 = 1e12",
            "bandwidth is in bytes a second, at least 1e+06, saw 'nan'. Write 8e12 for 8 * 10**12.",
        ),
        (
            "efficiency = 0\npeak.int8 = 1e12",
            "efficiency is in a share, over 0 to 1, saw '0'. Mend the number.",
        ),
        (
            "overhead = 5\npeak.int8 = 1e12",
            "overhead is in seconds, from 0 to 1, saw '5'. Mend the number.",
        ),
        ("title = 5\npeak.int8 = 1e12", "title must be a text, saw 5. Put it in quotes."),
        (
            "peak.int8 = 1e12\n[sources]\npeak.int8 = 5",
            "sources.peak.int8 must be a text, saw 5. Put it in quotes.",
        ),
        (
            "peak.int8 = 1e12\n[sources]\nbandwith = 'x'",
            (
                "[sources] has no key 'bandwith'. Did you mean 'bandwidth'? Known: peak.int8, peak.int16, "
                "peak.w4a8, peak.w4a4, peak.w8a16, peak.fp8, peak.float16, peak.float32, bandwidth, "
                "overhead, efficiency."
            ),
        ),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_device(path)

    assert str(caught.value) == f"{path}: {said}"


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    with pytest.raises(InputError) as caught:
        pick_device("T", (), str(path))

    assert str(caught.value) == f"{path}: cannot be read: there is no such file. Mend the path."


def test_the_first_of_the_table_is_the_default() -> None:
    devices = TARGETS["tensorrt"].devices

    assert pick_device("TensorRT", devices, None) is devices[0]
    assert pick_device("TensorRT", devices, "l4").name == "l4"


def test_a_bandwidth_goes_first_and_names_itself() -> None:
    found = pick_device("NNIE", TARGETS["nnie"].devices, None, 6.4)

    assert (found.bandwidth, found.sources["bandwidth"]) == (6.4e9, "--bandwidth")


@pytest.mark.parametrize(
    ("target", "device", "bandwidth", "said"),
    [
        (
            "tensorrt",
            "xavier",
            None,
            (
                "--device: TensorRT has no 'xavier'. Did you mean 'xavier-nx'? Known: t4, l4, "
                "orin-agx-64gb, xavier-nx, or a .toml file."
            ),
        ),
        (
            "onnxruntime",
            "cpu",
            None,
            "--device: ONNX Runtime has no 'cpu'. Known: a .toml file.",
        ),
        (
            "onnxruntime",
            None,
            None,
            (
                "ONNX Runtime: there are no public figures of its devices. Give --device FILE.toml with "
                "the peak and the bandwidth of yours; docs/roofline.md shows one."
            ),
        ),
        (
            "tensorrt",
            None,
            float("nan"),
            "--bandwidth: it is in 10**9 bytes a second and over 0, saw nan. Write 25.6 for 25.6 GB/s.",
        ),
    ],
)
def test_a_device_that_is_not_there_is_said(
    target: str, device: str | None, bandwidth: float | None, said: str
) -> None:
    table = TARGETS[target]
    with pytest.raises(InputError) as caught:
        pick_device(table.title, table.devices, device, bandwidth)

    assert str(caught.value) == said

"""Shell completion: names of the tables, and files; nothing heavy is imported for it."""

import os
import subprocess
import sys

import pytest

from quant.cli.parts import EFFORTS
from quant.job.settings import EFFORTS as EFFORT_NAMES


def completed(line: str) -> list[str]:
    """Return what a shell is told for a line whose last word is being typed."""
    words = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    code = (
        "import sys; from quant.cli.main import main\n"
        "try: main()\n"
        "finally: print(*sorted({'onnx', 'onnx_ir', 'onnxruntime', 'torch'} & set(sys.modules)),"
        " file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **asked, "_QUANT_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("quant cal", ["plain,calibrate"]),
        ("quant calibrate --target t", ["plain,tensorrt"]),
        ("quant calibrate --metric top", ["plain,top1", "plain,top5"]),
        ("quant calibrate --observer m", ["plain,minmax", "plain,mse"]),
        ("quant calibrate --effort b", ["plain,balanced", "plain,best"]),
        ("quant calibrate --sensitivity k", ["plain,kl"]),
        ("quant calibrate --precisions int8,float", ["plain,int8,float16", "plain,int8,float32"]),
        ("quant calibrate --model ne", ["file,ne"]),
        ("quant calibrate --recipe ru", ["file,ru"]),
        ("quant calibrate --target tensorrt --device x", ["plain,xavier-nx"]),
        ("quant roofline --target nnie --device xa", ["file,xa"]),
        ("quant list dev", ["plain,devices"]),
    ],
)
def test_words_and_files_are_completed(line: str, expected: list[str]) -> None:
    """What can be typed there, and for a device what the target has."""
    assert completed(line) == expected


def test_every_effort_is_explained() -> None:
    """`quant list efforts` and the option must not drift apart."""
    assert tuple(EFFORTS) == EFFORT_NAMES

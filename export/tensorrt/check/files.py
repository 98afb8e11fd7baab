"""Check a folder's calibration cache, and its scripts for options that version 11 removed.

Source: NVIDIA, sampleINT8 README; trtexec 11 `sampleOptions.cpp`; TensorRT 11 migration guide.
"""

__all__ = ["float_tensor_names", "folder_findings"]

import re
from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir

from quant.common.errors import few
from quant.export.qdq.nodes import is_quantizer
from quant.export.tensorrt.check.network import finding
from quant.target.finding import Finding

CACHE_HEAD = re.compile(r"TRT-\d{4,6}-(EntropyCalibration2|MinMaxCalibration)")
CACHE_LINE = re.compile(r"(.+): ([0-7][0-9a-f]{7})")
REMOVED_OPTIONS = re.compile(
    r"--(fp16|bf16|int8|fp8|int4|best|calib|precisionConstraints|layerPrecisions|layerOutputTypes)\b"
)
"""Options that trtexec 11 no longer has."""
REMOVED_IN_PYTHON = re.compile(r"IInt8\w*Calibrator|\.dynamic_range\b|BuilderFlag\.(INT8|FP16)\b")


def float_tensor_names(model: ir.Model) -> list[str]:
    """Return the float32 inputs and node outputs of a graph, in order."""
    values = [v for v in model.graph.inputs if not v.is_initializer()]
    values += [v for node in model.graph for v in node.outputs if v.name]
    return [str(v.name) for v in values if v.dtype in (None, ir.DataType.FLOAT)]


def folder_findings(folder: Path, beside: dict[Path, ir.Model], version: int) -> Iterator[Finding]:
    """Yield the findings on the files of a folder.

    Args:
        folder: The folder of an export.
        beside: Folder to the float or Q/DQ model in it.
        version: Major version of TensorRT.
    """
    for path in sorted(folder.rglob("*.cache")):
        place = path.relative_to(folder).as_posix()
        if version == 11:
            mend = "Remove it: version 11 takes Q/DQ graphs only."
            yield finding(
                30, "error", f"'{place}'", saw="a calibration cache", wanted="none", mend=mend
            )
        else:
            yield from _cache(path, place, beside.get(path.parent))
    if version == 11:
        yield from _scripts(folder)


def _cache(path: Path, place: str, model: ir.Model | None) -> Iterator[Finding]:
    mend = "Export again."
    lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    if not CACHE_HEAD.fullmatch(lines[0]):
        wanted = "TRT-<version>-EntropyCalibration2"
        yield finding(
            29, "error", f"'{place}' line 1", saw=f"{lines[0][:60]!r}", wanted=wanted, mend=mend
        )
    if lines[-1] == "":
        lines.pop()
    names = set()
    for number, line in enumerate(lines[1:], 2):
        match = CACHE_LINE.fullmatch(line)
        if match is None:
            saw, wanted = f"{line[:60]!r}", "'<tensor>: <8 lowercase hex digits>'"
            yield finding(
                29, "error", f"'{place}' line {number}", saw=saw, wanted=wanted, mend=mend
            )
        else:
            names.add(match[1])
    if model is None:
        saw, wanted = "no model.onnx beside it", "the float model whose tensors it names"
        yield finding(29, "error", f"'{place}'", saw=saw, wanted=wanted, mend=mend)
        return
    if any(is_quantizer(n) for n in model.graph):
        saw, wanted = "a model with Q/DQ beside it", "a float model"
        mend = "Use one of the two: ranges are refused where there are Q/DQ layers."
        yield finding(29, "error", f"'{place}'", saw=saw, wanted=wanted, mend=mend)
        return
    float_names = float_tensor_names(model)
    tensors = {str(v.name) for v in [*model.graph.inputs, *model.graph.initializers.values()]}
    tensors.update(str(v.name) for node in model.graph for v in node.outputs)
    if unknown := sorted(names - tensors):
        saw = f"{few(unknown)}, which the model does not have"
        yield finding(
            29, "error", f"'{place}'", saw=saw, wanted="names of the model's tensors", mend=mend
        )
    if missing := [n for n in float_names if n not in names]:
        saw = f"no scale for {few(missing)}"
        yield finding(
            29, "error", f"'{place}'", saw=saw, wanted="one for every float tensor", mend=mend
        )


def _scripts(folder: Path) -> Iterator[Finding]:
    mend = "Remove it: types and Q/DQ in the graph say it all in version 11."
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        place = f"'{path.relative_to(folder).as_posix()}'"
        if path.name == "layer_precisions.txt":
            yield finding(
                30, "error", place, saw="a list of layer precisions", wanted="none", mend=mend
            )
        elif path.suffix in (".sh", ".py"):
            text = path.read_text(encoding="utf-8", errors="replace")
            gone = (
                REMOVED_OPTIONS.search(text)
                if path.suffix == ".sh"
                else REMOVED_IN_PYTHON.search(text)
            )
            if gone:
                yield finding(
                    30, "error", place, saw=f"{gone[0]}", wanted="what version 11 knows", mend=mend
                )

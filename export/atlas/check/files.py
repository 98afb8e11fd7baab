"""Check inputs, outputs, atc.sh, aipp.cfg and external weight files: rules 24, 26, 27 and 30."""

__all__ = ["aipp_findings", "external_findings", "io_findings", "script_findings"]

import math
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import onnx

from quant.export.atlas.check.graph import external_files
from quant.export.atlas.check.view import Findings, View, finding
from quant.target.finding import Severity

AGAIN = "Export the model again."
SCRIPT, AIPP = "file 'atc.sh'", "file 'aipp.cfg'"
NORMALIZING = ("Sub", "Add", "Mul", "Div", "BatchNormalization")


def io_findings(view: View, floats: onnx.ModelProto | None, *, script: bool) -> Findings:
    """Yield the findings of rule 24.

    Args:
        view: The deploy model.
        floats: float_model.onnx, for the names; None when the folder has none.
        script: The folder has an atc.sh, whose --input_shape fixes the sizes.
    """
    graph = view.model.graph
    inputs = [v for v in graph.input if v.name not in view.constants]
    for value in [*inputs, *graph.output]:
        kind = value.type.tensor_type.elem_type
        if kind != onnx.TensorProto.FLOAT:
            saw = f"a graph {'input' if value in inputs else 'output'} of type "
            saw += onnx.TensorProto.DataType.Name(kind)
            severity: Severity = "error" if value in inputs else "warning"
            mend = "Cast it inside the network."
            yield finding(
                24, severity, f"tensor '{value.name}'", saw=saw, wanted="FLOAT", mend=mend
            )
    for value in inputs:
        dims = value.type.tensor_type.shape.dim
        if not script and not all(d.HasField("dim_value") and d.dim_value > 0 for d in dims):
            saw = f"sizes {[d.dim_value or d.dim_param or '?' for d in dims]}"
            mend = "Give ATC --input_shape, as atc.sh of an export does."
            yield finding(
                24, "error", f"tensor '{value.name}'", saw=saw, wanted="fixed sizes", mend=mend
            )
    if floats is not None:
        for kind_, mine, theirs in (
            ("input", inputs, floats.graph.input),
            ("output", graph.output, floats.graph.output),
        ):
            initializers = {i.name for i in floats.graph.initializer}
            names, wanted = (
                [v.name for v in mine],
                [v.name for v in theirs if v.name not in initializers],
            )
            if names != wanted:
                saw, want = f"graph {kind_}s {names}", f"those of float_model.onnx, {wanted}"
                yield finding(24, "error", view.file, saw=saw, wanted=want, mend=AGAIN)


def _atc_arguments(text: str) -> dict[str, str]:
    """Return the options of the `atc` command in a script, without the dashes."""
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        try:
            words = shlex.split(line)
        except ValueError:
            continue
        if words[:1] == ["atc"]:
            pairs = (w.removeprefix("--").partition("=") for w in words[1:] if w.startswith("--"))
            return {name: value for name, _, value in pairs}
    return {}


def script_findings(view: View, text: str) -> Findings:
    """Yield the findings of rule 26."""
    options = _atc_arguments(text)
    if options.get("framework") != "5":
        saw = f"--framework={options.get('framework', '')}"
        yield finding(
            26, "error", SCRIPT, saw=saw, wanted="--framework=5, which is ONNX", mend=AGAIN
        )
    if not options.get("soc_version", "").strip():
        saw, wanted = "no --soc_version", "the chip, such as Ascend310"
        yield finding(
            26, "error", SCRIPT, saw=saw, wanted=wanted, mend="Export with --soc-version."
        )
    shapes: dict[str, list[str]] = {}
    for part in options.get("input_shape", "").split(";"):
        name, _, listed = part.rpartition(":")
        shapes[name] = listed.split(",")
    wanted_names = [v.name for v in view.model.graph.input if v.name not in view.constants]
    if sorted(shapes) != sorted(wanted_names):
        saw = f"--input_shape of {sorted(shapes)}"
        yield finding(
            26, "error", SCRIPT, saw=saw, wanted=f"the inputs {sorted(wanted_names)}", mend=AGAIN
        )
        return
    for value in view.model.graph.input:
        sizes, dims = shapes.get(value.name, []), value.type.tensor_type.shape.dim
        fits = len(sizes) == len(dims) and all(
            s.isdigit() and (not d.dim_value or int(s) == d.dim_value)
            for s, d in zip(sizes, dims, strict=False)
        )
        if value.name in shapes and not fits:
            saw = f"--input_shape {','.join(sizes)} for '{value.name}'"
            wanted = str([d.dim_value or d.dim_param or "?" for d in dims])
            yield finding(26, "error", SCRIPT, saw=saw, wanted=f"the sizes {wanted}", mend=AGAIN)


def aipp_findings(view: View, text: str, script: str | None) -> Findings:
    """Yield the findings of rule 27."""
    settings = dict(re.findall(r"^\s*(\w+)\s*:\s*(\S+)\s*$", text, re.MULTILINE))
    for name, value in settings.items():
        if name.startswith("mean_chn") and not (value.isdigit() and int(value) <= 255):
            mend = "Put the fraction into min_chn."
            yield finding(
                27, "error", AIPP, saw=f"{name} {value}", wanted="an integer, 0 to 255", mend=mend
            )
        if name.startswith("var_reci") and not 0 < _number(value) < math.inf:
            yield finding(
                27, "error", AIPP, saw=f"{name} {value}", wanted="1 / std, above 0", mend=AGAIN
            )
    if script is not None and "input_fp16_nodes" in _atc_arguments(script):
        saw = "--input_fp16_nodes with AIPP"
        yield finding(
            27,
            "error",
            SCRIPT,
            saw=saw,
            wanted="one of them (ATC's E10034)",
            mend="Remove the flag.",
        )
    if _changes(settings):
        yield from _normalized_twice(view)


def _changes(settings: Mapping[str, str]) -> bool:
    """Return whether an AIPP normalizes at all."""
    means = [v for k, v in settings.items() if k.startswith(("mean_chn", "min_chn"))]
    factors = [v for k, v in settings.items() if k.startswith("var_reci")]
    return any(_number(v) != 0 for v in means) or any(_number(v) != 1 for v in factors)


def _normalized_twice(view: View) -> Findings:
    inputs = [v.name for v in view.model.graph.input if v.name not in view.constants]
    for name in inputs:
        for node, index in view.readers.get(name, []):
            if node.op_type in NORMALIZING and view.constant(node, 1 - min(index, 1)) is not None:
                saw = f"a {node.op_type} of the input behind an AIPP that normalizes"
                mend = "Check that mean and std are not applied twice."
                yield finding(27, "warning", node, saw=saw, wanted="normalization once", mend=mend)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def external_findings(model: onnx.ModelProto, path: Path) -> Findings:
    """Yield the findings of rule 30."""
    for tensor, name in external_files(model):
        if not name or not (path.parent / name).is_file():
            saw = "weights in a file elsewhere" if not name else f"no file '{name}'"
            mend = "Keep the files of an export together."
            yield finding(
                30,
                "error",
                f"tensor '{tensor}'",
                saw=saw,
                wanted="a file in the same folder",
                mend=mend,
            )

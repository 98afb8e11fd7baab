"""Run the 30 rules on an Atlas export."""

__all__ = ["check_export"]

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from quant.common.errors import InputError
from quant.export.atlas.check.files import (
    aipp_findings,
    external_findings,
    io_findings,
    script_findings,
)
from quant.export.atlas.check.graph import graph_findings
from quant.export.atlas.check.integer_run import run_findings
from quant.export.atlas.check.integrity import integrity_findings
from quant.export.atlas.check.layers import layer_findings
from quant.export.atlas.check.quantizers import quantizer_findings
from quant.export.atlas.check.record import record_findings
from quant.export.atlas.check.view import View
from quant.export.atlas.version import SOC_VERSION
from quant.load.onnx_file import read_proto
from quant.target.deployment import Deployment
from quant.target.finding import Finding, errors

MAIN = "deploy_model.onnx"


def check_export(path: Path, deployment: Deployment) -> list[Finding]:
    """Return the findings of every rule on an export.

    Args:
        path: The folder of an export, or a deploy model alone.
        deployment: The chip that the export is for.

    Raises:
        InputError: There is no deploy model, or it is no ONNX file.
    """
    model = path / MAIN if path.is_dir() else path
    if path.is_dir() and not model.is_file():
        raise InputError(
            f"{path}: an Atlas export has a '{MAIN}', and this folder has none. "
            "Name the folder of an export, or a deploy model."
        )
    proto = onnx.load(model, load_external_data=False) if _external(model) else read_proto(model)
    outside = list(external_findings(proto, model))
    if outside:
        return outside
    onnx.load_external_data_for_model(proto, str(model.parent))
    view = View(proto, f"file '{model.name}'")
    return list(_findings(view, model.parent if path.is_dir() else None, deployment))


def _external(path: Path) -> bool:
    """Return whether a file parses as a model with weights outside it, which may be missing."""
    if not path.is_file():
        return False
    try:
        proto = onnx.load(path, load_external_data=False)
    except DecodeError:  # read_proto reports it as a sentence
        return False
    kinds = {tensor.data_location for tensor in proto.graph.initializer}
    return onnx.TensorProto.EXTERNAL in kinds


def _findings(view: View, folder: Path | None, deployment: Deployment) -> Iterator[Finding]:
    script, aipp, record = (_text(folder, n) for n in ("atc.sh", "aipp.cfg", "record.txt"))
    floats, simulation = (_model(folder, n) for n in ("float_model.onnx", "simulated.onnx"))
    soc_version = SOC_VERSION.of(deployment.versions)
    findings = list(graph_findings(view, soc_version))
    damage = list(integrity_findings(view))
    if damage:
        yield from [*findings, *damage]
        return
    findings += [
        *quantizer_findings(view, soc_version),
        *layer_findings(view),
        *io_findings(view, floats, script=script is not None),
    ]
    if record is not None:
        findings += record_findings(view, record)
    if script is not None:
        findings += script_findings(view, script)
    if aipp is not None:
        findings += aipp_findings(view, aipp, script)
    yield from findings
    if not errors(findings):  # a broken model has nothing to compare
        yield from run_findings(view, simulation, floats, deployment.samples)


def _text(folder: Path | None, name: str) -> str | None:
    path = folder / name if folder is not None else None
    if path is None or not path.is_file():
        return None
    return path.read_text(encoding="utf-8", errors="replace")


def _model(folder: Path | None, name: str) -> onnx.ModelProto | None:
    path = folder / name if folder is not None else None
    return onnx.load(path) if path is not None and path.is_file() else None

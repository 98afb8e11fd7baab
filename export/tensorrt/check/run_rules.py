"""Run the 30 rules on a Q/DQ graph and its side files.

TensorRT needs a GPU even to parse, so the rules are those of its open parser and of NVIDIA's
documents and tools; each module names its sources.
"""

__all__ = ["check_export"]

from pathlib import Path

import onnx_ir as ir

from quant.common.errors import InputError
from quant.export.tensorrt.check.files import folder_findings
from quant.export.tensorrt.check.fusion import FUSION
from quant.export.tensorrt.check.graph import IMPORT
from quant.export.tensorrt.check.grids import GRID
from quant.export.tensorrt.check.kernels import KERNELS
from quant.export.tensorrt.check.network import Network
from quant.export.tensorrt.check.sharing import SHARING
from quant.export.tensorrt.check.weights import WEIGHTS
from quant.export.tensorrt.version import version_of
from quant.graph.shapes import infer_shapes
from quant.target.deployment import Deployment
from quant.target.finding import Finding, in_order


def check_export(path: Path, deployment: Deployment) -> list[Finding]:
    """Return the findings on an export, in the order of the rules.

    Args:
        path: A folder with `model.onnx` (and `implicit/`), or one Q/DQ ONNX file of any tool.
        deployment: Its version of TensorRT decides which rules hold.

    Raises:
        InputError: There is no model, or it cannot be read.
    """
    version = version_of(deployment).major
    if not path.is_dir():
        return in_order(_graph_findings(_load(path), version))
    models = {p.parent: _load(p) for p in sorted(path.rglob("model.onnx"))}
    if path not in models:
        raise InputError(
            f"{path}: a TensorRT export must hold 'model.onnx', saw none. Give its folder, or the "
            "file itself."
        )
    findings = _graph_findings(models[path], version)
    for folder in [p for p in models if p != path]:
        findings += [
            f
            for f in _graph_findings(models[folder], version)
            if f.rule in ("tensorrt-10", "tensorrt-11", "tensorrt-27")
        ]
    return in_order(findings + list(folder_findings(path, models, version)))


def _graph_findings(model: ir.Model, version: int) -> list[Finding]:
    net = Network(model=model, version=version)
    rules = (*GRID, *WEIGHTS, *IMPORT, *FUSION, *SHARING, *KERNELS)
    return [finding for rule in rules for finding in rule(net)]


def _load(path: Path) -> ir.Model:
    """Read a model and infer its types; external weights are read only when a rule needs them."""
    try:
        model = ir.load(path)
        model.graph.sort()  # raises for a cycle, in which the rules would never end
        _require_external_files(model)
        infer_shapes(model)
    except Exception as error:  # protobuf, onnx_ir and the operating system each raise their own
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        reason = " ".join(str(cause).split()).replace("'", '"').rstrip(".")
        raise InputError(
            f"{path}: not a readable ONNX model: {reason[:200] or type(error).__name__}. "
            "Export it again."
        ) from error
    return model


def _require_external_files(model: ir.Model) -> None:
    """Raise unless the files of external weights exist."""
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            Path(value.const_value.path).stat()

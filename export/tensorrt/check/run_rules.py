"""Will TensorRT take it? 30 rules for Q/DQ graphs and their side files, and a look before export.

TensorRT needs a GPU even to parse, so the rules are those of its open parser and of NVIDIA's
documents and tools, each with its source in the module that holds it.
"""

__all__ = ["check_export", "check_model"]

from pathlib import Path

import onnx_ir as ir

from quant.common.errors import InputError
from quant.export.tensorrt.check.files import folder_rules
from quant.export.tensorrt.check.fusion import FUSION
from quant.export.tensorrt.check.graph import IMPORT
from quant.export.tensorrt.check.grids import GRID
from quant.export.tensorrt.check.kernels import KERNELS
from quant.export.tensorrt.check.model import before
from quant.export.tensorrt.check.network import Network
from quant.export.tensorrt.check.sharing import SHARING
from quant.export.tensorrt.check.weights import WEIGHTS
from quant.export.tensorrt.version import version_of
from quant.graph.prepared_graph import Graph
from quant.graph.shapes import infer_shapes
from quant.target.deployment import Deployment
from quant.target.finding import Finding


def check_export(path: Path, deployment: Deployment) -> list[Finding]:
    """Return what TensorRT will refuse or run badly, in the order of the rules.

    Args:
        path: A folder with `model.onnx` (and `implicit/`), or one Q/DQ ONNX file of any tool.
        deployment: Its version of TensorRT decides which rules hold.

    Raises:
        InputError: There is no model, or it cannot be read.
    """
    version = version_of(deployment).major
    if not path.is_dir():
        return _ranked(_graph(_load(path), version))
    models = {p.parent: _load(p) for p in sorted(path.rglob("model.onnx"))}
    if path not in models:
        raise InputError(
            f"{path}: a TensorRT export must hold 'model.onnx', saw none. Give its folder, or the "
            "file itself."
        )
    found = _graph(models[path], version)
    for folder in [p for p in models if p != path]:
        found += [
            f
            for f in _graph(models[folder], version)
            if f.rule in ("tensorrt-10", "tensorrt-11", "tensorrt-27")
        ]
    return _ranked(found + list(folder_rules(path, models, version)))


def check_model(graph: Graph, deployment: Deployment) -> list[Finding]:
    """Return what stands in the way of a prepared float graph, before anything is written."""
    version = version_of(deployment).major
    return _ranked(list(before(graph, Network(model=graph.model, version=version))))


def _graph(model: ir.Model, version: int) -> list[Finding]:
    net = Network(model=model, version=version)
    every = (*GRID, *WEIGHTS, *IMPORT, *FUSION, *SHARING, *KERNELS)
    return [found for rule in every for found in rule(net)]


def _ranked(found: list[Finding]) -> list[Finding]:
    return sorted(found, key=lambda f: int(f.rule.rpartition("-")[2]))


def _load(path: Path) -> ir.Model:
    """Read a model and infer its types; weights stay outside until a rule wants them."""
    try:
        model = ir.load(path)
        model.graph.sort()  # refuses a circle, in which the rules would run for ever
        _at_hand(model)
        infer_shapes(model)
    except Exception as error:  # protobuf, onnx_ir and the operating system each raise their own
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        said = " ".join(str(cause).split()).replace("'", '"').rstrip(".")
        raise InputError(
            f"{path}: not a readable ONNX model: {said[:200] or type(error).__name__}. "
            "Export it again."
        ) from error
    return model


def _at_hand(model: ir.Model) -> None:
    """Raise unless the files of external weights are there."""
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            Path(value.const_value.path).stat()

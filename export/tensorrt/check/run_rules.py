"""Will TensorRT take it? 30 rules for Q/DQ graphs and their side files, and a look before export.

TensorRT needs a GPU even to parse, so the rules are those of its open parser and of NVIDIA's
documents and tools, each with its source in the module that holds it.
"""

__all__ = ["RULES", "check_export", "check_model"]

from pathlib import Path

import onnx_ir as ir

from quant.common.errors import InputError
from quant.export.qdq.nodes import Network
from quant.export.tensorrt.check.files import folder_rules
from quant.export.tensorrt.check.fusion import FUSION
from quant.export.tensorrt.check.graph import IMPORT
from quant.export.tensorrt.check.grids import GRID
from quant.export.tensorrt.check.kernels import KERNELS
from quant.export.tensorrt.check.model import before
from quant.export.tensorrt.check.sharing import SHARING
from quant.export.tensorrt.check.weights import WEIGHTS
from quant.export.tensorrt.graph.version import trt_version
from quant.graph.prepared_graph import Graph
from quant.graph.shapes import infer_shapes
from quant.target.deployment import Deployment
from quant.target.finding import Finding

RULES: dict[str, str] = {
    "tensorrt-1": "every QuantizeLinear and DequantizeLinear has a zero point",
    "tensorrt-2": "integers are int8, float8e4m3fn or int4, never uint8, int16 or int32",
    "tensorrt-3": "zero points are constant, all zero, and as many as scales",
    "tensorrt-4": "scales are constant floats, finite and above 0",
    "tensorrt-5": "only constants have a scale per channel",
    "tensorrt-6": "many scales come with a written axis of that length",
    "tensorrt-7": "weight scales lie along the output channels of their operator",
    "tensorrt-8": "the two of a pair agree, and only DequantizeLinear reads integers",
    "tensorrt-9": "a bias is a float constant, one per output channel, and not quantized",
    "tensorrt-10": "every operator is one that the parser imports",
    "tensorrt-11": "the opset is high enough for the graph and low enough for the version",
    "tensorrt-12": "version 8: weights are float32 with Q and DQ, not stored integers",
    "tensorrt-13": "strong typing: scales and operands have one type, nothing is cast implicitly",
    "tensorrt-14": "a weighted layer has both inputs dequantized, or none",
    "tensorrt-15": "of a residual Add only the skip operand is dequantized",
    "tensorrt-16": "a residual Add that integer layers read has a quantizer behind it",
    "tensorrt-17": "nothing stands between a layer and its BatchNormalization, Relu or Clip",
    "tensorrt-18": "a tensor is quantized once",
    "tensorrt-19": "a Concat of integers has one scale for its operands and its result",
    "tensorrt-20": "an Add, Mul or average pool that reads integers writes integers",
    "tensorrt-21": "Softmax, LayerNormalization, Gelu, Erf, Sigmoid, Exp and Resize read floats",
    "tensorrt-22": "an integer convolution has channels for which there is a fast kernel",
    "tensorrt-23": "an integer Gemm or MatMul is no vector and has K and N of 16 or more",
    "tensorrt-24": "FP8: the first and last layers have 16 input channels or more",
    "tensorrt-25": "INT4 is for weights of Gemm and MatMul, even last axis, one blocked axis",
    "tensorrt-26": "weights lie within their grid",
    "tensorrt-27": "node names are unique and fit trtexec's lists; tensor names fit a cache",
    "tensorrt-28": "8-bit initializers go to quantizers directly",
    "tensorrt-29": "a calibration cache is well-formed, complete and beside a float model",
    "tensorrt-30": "version 11: no calibration cache and no list of layer precisions",
}
"""What each rule wants, by name."""


def check_export(path: Path, deployment: Deployment) -> list[Finding]:
    """Return what TensorRT will refuse or run badly, in the order of the rules.

    Args:
        path: A folder with `model.onnx` (and `implicit/`), or one Q/DQ ONNX file of any tool.
        deployment: Its `trt_version` says which rules hold.

    Raises:
        InputError: There is no model, or it cannot be read.
    """
    version = trt_version(deployment.trt_version).major
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
    version = trt_version(deployment.trt_version).major
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

"""Open a model in ONNX Runtime: silent, on the CPU, from memory or by reference when it is large."""

__all__ = ["FAILURES", "FLOAT_KERNELS", "open_session", "open_simulation", "reason"]

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import onnx_ir as ir
import onnxruntime as ort

from quant.common.errors import UnsupportedError
from quant.graph.prepared_graph import PROTO_LIMIT, model_bytes

NO_ENTRIES: Mapping[str, str] = MappingProxyType({})

FLOAT_KERNELS: Mapping[str, str] = MappingProxyType({"session.disable_quant_qdq": "1"})
"""Session entries that keep ONNX Runtime from fusing quantizers into integer kernels."""

BROKEN_OPTIMIZERS = (
    "TransposeOptimizer",
    "TransposeOptimizer_CPUExecutionProvider",
    "ReluQuantRewrite",
    "ClipQuantRewrite",
)
"""Optimizers of ONNX Runtime 1.32.0 that break a simulation. With quantizers kept apart the first
two move Transpose nodes wrongly ("Incompatible dimensions" in a transformer's residual Add); the
others take the float8 zero point 0 for the least number and drop the Relu or Clip before it."""


def open_session(
    model: ir.Model,
    *,
    threads: int = 0,
    optimize: bool = True,
    alone: bool = False,
    entries: Mapping[str, str] = NO_ENTRIES,
) -> Any:
    """Return an `onnxruntime.InferenceSession` on the CPU that holds its own copy of the model.

    Models over 1.9 GB go through a scratch folder that is gone when this returns.

    Args:
        model: Weights may be external tensors; they are read, and `model` is left as it was.
        threads: Threads inside one operator; 0 lets ONNX Runtime choose.
        optimize: False turns every graph optimization off, so that each node runs as written.
        alone: True lets its threads spin while they wait, ONNX Runtime's default: some 10 % faster
            for the only session at work, and four times slower where several take turns.
        entries: Session configuration entries, `{"session.disable_quant_qdq": "1"}`.

    Raises:
        UnsupportedError: ONNX Runtime refuses the model; the message has its reason in one line.
    """
    spin = {"session.intra_op.allow_spinning": str(int(alone))}
    return _session(model, _options(threads, optimize, {**spin, **entries}))


def _session(model: ir.Model, options: Any, disabled: Sequence[str] = ()) -> Any:
    """Return a session without the optimizers of these names."""
    settings = {"providers": ["CPUExecutionProvider"], "disabled_optimizers": list(disabled)}
    try:
        if model_bytes(model) <= PROTO_LIMIT:
            return ort.InferenceSession(_serialized(model), options, **settings)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            path = Path(folder, "model.onnx")
            ir.save(model, path, external_data="model.data")
            return ort.InferenceSession(str(path), options, **settings)
    except FAILURES as error:
        raise UnsupportedError(
            f"graph '{model.graph.name or ''}': ONNX Runtime {ort.__version__} must be able to load "
            f"it, and said '{reason(error)}'. Export the model again with opset 17 and standard "
            "operators."
        ) from error


def open_simulation(model: ir.Model, threads: int = 0) -> Any:
    """Return an ONNX Runtime session in which the operators compute in float32 between the grids.

    ONNX Runtime's optimizers that break a simulation are left out: `BROKEN_OPTIMIZERS`.
    """
    entries = {"session.intra_op.allow_spinning": "0", **FLOAT_KERNELS}
    return _session(model, _options(threads, True, entries), BROKEN_OPTIMIZERS)


def _options(threads: int, optimize: bool, entries: Mapping[str, str]) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 4  # the exceptions say it all; stderr is ours
    options.intra_op_num_threads = threads
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    return options


def _serialized(model: ir.Model) -> bytes:
    """Return the model as ONNX bytes, external tensors read in."""
    tensors = [v.const_value for graph in model.graphs() for v in graph.initializers.values()]
    if any(isinstance(tensor, ir.ExternalTensor) for tensor in tensors):
        model = ir.external_data.load_to_model(model.clone())
    return bytes(ir.to_proto(model).SerializeToString(deterministic=True))


def _failures() -> tuple[type[Exception], ...]:
    """Return the exceptions of ONNX Runtime's binding; they share no base class of their own."""
    state = ort.capi.onnxruntime_pybind11_state
    exceptions = [
        v for v in vars(state).values() if isinstance(v, type) and issubclass(v, Exception)
    ]
    return (*exceptions, RuntimeError)


FAILURES = _failures()
"""What ONNX Runtime raises when a model cannot be loaded or run."""


def reason(error: BaseException) -> str:
    """Return ONNX Runtime's reason without its error code, paths or line breaks."""
    text = " ".join(str(error).split())
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"^Load model from .*? failed: ?", "", text)
    text = re.sub(r"^This is an invalid model\. ", "", text)
    return text.replace("'", '"').rstrip(". ")

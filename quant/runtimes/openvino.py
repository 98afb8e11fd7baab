"""OpenVINO on the CPU, an extra: `pip install boardquant[openvino]`.

Its Core reads ONNX and IR by itself; its converter, which reports usage, is not called.
"""

__all__ = ["OPENVINO_CPU"]

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.common.errors import InputError, UnsupportedError
from quant.runtimes.openvino_profiler import COUNTED, OpenVinoCounters
from quant.runtimes.runtime import KernelProfiler, Runtime

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Port:
    """An input or an output of OpenVINO, as ONNX Runtime would describe it."""

    name: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class _Session:
    """A compiled model with the methods of an ONNX Runtime session."""

    compiled: Any

    def get_inputs(self) -> list[_Port]:
        return [_port(p) for p in self.compiled.inputs]

    def get_outputs(self) -> list[_Port]:
        return [_port(p) for p in self.compiled.outputs]

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        results = self.compiled({name: np.ascontiguousarray(x) for name, x in feeds.items()})
        by = {name: results[port] for port in self.compiled.outputs for name in port.get_names()}
        return [np.array(by[name]) for name in names]


def _port(port: Any) -> _Port:
    shape = tuple(int(d.get_length()) if d.is_static else None for d in port.partial_shape)
    return _Port(port.get_any_name(), shape)


def _open(path: Path, threads: int) -> _Session:
    """Open an ONNX file or OpenVINO's IR."""
    openvino = _openvino()
    if not path.is_file() or path.suffix not in (".onnx", ".xml"):
        raise InputError(
            f"{path}: OpenVINO takes an .onnx or .xml file, saw "
            f"{'none' if not path.is_file() else repr(path.suffix)}. Name one."
        )
    try:
        core = openvino.Core()
        return _Session(core.compile_model(core.read_model(path), "CPU", _settings(threads)))
    except RuntimeError as error:
        reason = " ".join(str(error).split()).replace("'", '"')
        raise UnsupportedError(
            f"{path}: OpenVINO {openvino.__version__} must be able to load it, and said "
            f"'{reason[-200:]}'. Export it again, or give --runtime onnxruntime."
        ) from error


def _profile(path: Path, threads: int) -> KernelProfiler:
    core = _openvino().Core()
    model = core.read_model(path)

    def compiled(counted: bool) -> Any:
        return core.compile_model(model, "CPU", {**_settings(threads), "PERF_COUNT": counted})

    return OpenVinoCounters(compiled, threads)


def _openvino() -> Any:
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise UnsupportedError(
            "runtime openvino: OpenVINO is not installed here. Run pip install "
            "'boardquant[openvino]', or take the runtime onnxruntime."
        ) from error


def _settings(threads: int) -> dict[str, Any]:
    """Return what a CPU model is compiled with.

    Where a CPU has bfloat16, float layers would be computed in it without a word.
    """
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    return settings | ({"INFERENCE_NUM_THREADS": threads} if threads else {})


OPENVINO_CPU = Runtime(
    name="openvino",
    title="OpenVINO",
    package="openvino",
    open=_open,
    period=COUNTED,
    profile=_profile,
)

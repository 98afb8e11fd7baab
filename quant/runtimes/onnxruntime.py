"""ONNX Runtime on the CPU."""

__all__ = ["ORT_CPU"]

from pathlib import Path
from typing import Any

from quant.common.errors import InputError
from quant.runtimes.runtime import KernelProfiler, Runtime


def _open(path: Path, threads: int) -> Any:
    """Open an ONNX file; one with grids of ours as the simulation that it is."""
    from quant.formats.onnx_functions import DOMAIN
    from quant.graph.session import open_session, open_simulation
    from quant.load.onnx_file import read_model

    if path.suffix == ".xml":
        raise InputError(f"{path}: OpenVINO's IR runs in OpenVINO. Give --runtime openvino.")
    model = read_model(path)
    if any(node.domain == DOMAIN for node in model.graph):
        return open_simulation(model, threads)
    return open_session(model, threads=threads)


def _profile(path: Path, threads: int) -> KernelProfiler:
    from quant.runtimes.onnxruntime_profiler import OrtProfile

    return OrtProfile(path, threads)


ORT_CPU = Runtime(
    name="onnxruntime",
    title="ONNX Runtime",
    package="onnxruntime",
    open=_open,
    profile=_profile,
)

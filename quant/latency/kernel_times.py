"""Kernel times: what a runtime's own profiler says of every kernel, models taking turns.

A machine is never alone. Models that are compared run one after another, round by round, so that what
slows the machine slows all of them; and of the times of one kernel the least counts, which other work
can only raise.
"""

__all__ = ["kernel_times"]

import importlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import onnx_ir as ir

from quant.common.errors import UnsupportedError
from quant.latency.kernel import Feeds, KernelTime
from quant.latency.onnxruntime_profiler import OrtProfile
from quant.latency.openvino_profiler import COUNTED, OpenVinoCounters

WARM = 2
"""First rounds that do not count: memory is allocated, code generated."""


class _Profiled(Protocol):
    def run(self, feeds: Feeds) -> None: ...

    def kernels(self, skip: int) -> list[KernelTime]: ...


def kernel_times(
    models: Mapping[str, ir.Model],
    feeds: Mapping[str, Feeds],
    *,
    runtime: str,
    threads: int = 1,
    rounds: int = 15,
) -> dict[str, list[KernelTime]]:
    """Return the kernels of each model, by its name.

    Args:
        models: By name; weights may be external tensors.
        feeds: By the model's name the arrays of its inputs.
        runtime: "onnxruntime" or "openvino".
        threads: Threads inside one operator; 0 for all cores.
        rounds: How often each model runs at the least, after two runs that do not count.

    Raises:
        UnsupportedError: OpenVINO is asked for and not installed.
    """
    open_one: Callable[[Path, int], _Profiled] = _openvino if runtime == "openvino" else OrtProfile
    with tempfile.TemporaryDirectory() as folder:
        opened = {}
        for number, (name, model) in enumerate(models.items()):
            place = Path(folder) / str(number)
            place.mkdir()
            ir.save(model, place / "model.onnx", external_data="model.data")
            opened[name] = open_one(place, threads)
        for _ in range(-(-(WARM + rounds) // COUNTED) * COUNTED):
            for name, one in opened.items():
                one.run(feeds[name])
        return {name: one.kernels(WARM) for name, one in opened.items()}


def _openvino(folder: Path, threads: int) -> OpenVinoCounters:
    try:
        openvino = importlib.import_module("openvino")
    except ImportError as error:
        raise UnsupportedError(
            "runtime openvino: OpenVINO is not installed here. Run pip install "
            "'boardquant[openvino]', or measure in onnxruntime."
        ) from error
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    settings |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
    core = openvino.Core()
    model = core.read_model(folder / "model.onnx")
    return OpenVinoCounters(
        lambda counted: core.compile_model(model, "CPU", {**settings, "PERF_COUNT": counted}),
        threads,
    )

"""Kernel times: what a runtime's own profiler says of every kernel, models taking turns.

A machine is never alone. Models that are compared run one after another, round by round, so that what
slows the machine slows all of them; and of the times of one kernel the least counts, which other work
can only raise.
"""

__all__ = ["KernelTime", "kernel_times", "looking_time"]

import importlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from quant.errors import UnsupportedError

Feeds = Mapping[str, NDArray[Any]]

WARM = 2
"""First rounds that do not count: memory is allocated, code generated."""
COUNTED = 5
"""Runs of OpenVINO between two readings of its counters, which are whole microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelTime:
    """One kernel of a runtime.

    Attributes:
        op: As the runtime calls it: "QLinearConv", "Reorder".
        names: Of the node, and of those that were fused into it.
        tensors: Of its outputs and inputs, where the runtime tells them.
        milliseconds: Of one run, the least of the rounds.
    """

    op: str
    names: tuple[str, ...]
    tensors: tuple[str, ...] = ()
    milliseconds: float


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
    open_one: Callable[[Path, int], _Profiled] = _openvino if runtime == "openvino" else _Ort
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


def _least(times: Sequence[float], skip: int) -> float:
    return min(times[skip:] or times)


class _Ort:
    """A session of ONNX Runtime that writes its profile beside the model, and one that does not.

    To look at a kernel takes some microseconds, which would count as the kernel's own: what all of
    them take together beyond a run without profiler is taken from each in equal parts.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self._clock = time.process_time if threads == 1 else time.perf_counter
        self._plain = _session(folder, _options(threads))
        self._runs: list[float] = []
        options = _options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        self._optimized = folder / "optimized.onnx"
        options.optimized_model_filepath = str(self._optimized)
        for key, value in (("file_name", "optimized.data"), ("min_size_in_bytes", "1024")):
            entry = f"session.optimized_model_external_initializers_{key}"
            options.add_session_config_entry(entry, value)
        self._session = _session(folder, options)

    def run(self, feeds: Feeds) -> None:
        self._session.run(None, dict(feeds))
        start = self._clock()
        self._plain.run(None, dict(feeds))
        self._runs.append(1000 * (self._clock() - start))

    def kernels(self, skip: int) -> list[KernelTime]:
        """End the profile and read it: one event of each node in every run, in microseconds."""
        told = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        nodes = onnx.load(self._optimized, load_external_data=False).graph.node
        tensors = {node.name: (*node.output, *node.input) for node in nodes}
        times: dict[tuple[str, str], list[float]] = {}
        for event in told:
            name = str(event.get("name", ""))
            if event.get("cat") == "Node" and name.endswith("_kernel_time"):
                key = (event["args"]["op_name"], name.removesuffix("_kernel_time"))
                times.setdefault(key, []).append(event["dur"] / 1000)
        least = {key: _least(found, skip) for key, found in times.items()}
        looking = looking_time(list(least.values()), _least(self._runs, skip))
        return [
            KernelTime(
                op=op,
                names=(name,),
                tensors=tensors.get(name, ()),
                milliseconds=max(milliseconds - looking, 0.0),
            )
            for (op, name), milliseconds in least.items()
        ]


def looking_time(kernels: Sequence[float], whole: float) -> float:
    """Return what a profiler adds to each kernel, so that together they take `whole`; 0 at least.

    A kernel gives no more than it has: where small ones have less, the others give more.

    >>> looking_time([1.0, 0.5, 0.125], 1.0)
    0.25
    """
    excess, left = sum(kernels) - whole, sorted(kernels)
    while left and excess > left[0] * len(left):
        excess -= left.pop(0)
    return max(excess / len(left), 0.0) if left else 0.0


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _session(folder: Path, options: Any) -> Any:
    path = str(folder / "model.onnx")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class _OpenVino:
    """A model in OpenVINO with performance counters, which hold the mean of all runs since it compiled.

    So it is compiled anew every `COUNTED` runs, and the first of them, which allocates memory, is
    taken out: the mean of the others is (n * mean(n) - mean(1)) / (n - 1).
    """

    def __init__(self, compiled: Callable[[], Any]) -> None:
        self._compiled = compiled
        self._request: Any = None
        self._names: dict[str, tuple[str, ...]] = {}
        self._runs = 0
        self._first: dict[tuple[str, str], float] = {}
        self._times: dict[tuple[str, str], list[float]] = {}

    def run(self, feeds: Feeds) -> None:
        place = self._runs % COUNTED
        if place == 0:
            self._open()
        self._request.infer(dict(feeds))
        self._runs += 1
        if place == 0:
            self._first = self._means()
        elif place == COUNTED - 1:
            for key, mean in self._means().items():
                told = (COUNTED * mean - self._first.get(key, mean)) / (COUNTED - 1)
                self._times.setdefault(key, []).append(max(told, 0.0))

    def _open(self) -> None:
        compiled = self._compiled()
        self._request = compiled.create_infer_request()
        for op in compiled.get_runtime_model().get_ordered_ops():
            held = op.get_rt_info()["originalLayersNames"].astype(str)
            self._names[op.get_friendly_name()] = (*held.split(","), op.get_friendly_name())

    def _means(self) -> dict[tuple[str, str], float]:
        """Return the counters in milliseconds by kernel."""
        told = [p for p in self._request.profiling_info if str(p.status).endswith("EXECUTED")]
        return {(p.node_type, p.node_name): p.real_time.total_seconds() * 1000 for p in told}

    def kernels(self, skip: int) -> list[KernelTime]:
        return [
            KernelTime(op=op, names=self._names.get(name, (name,)), milliseconds=min(found))
            for (op, name), found in self._times.items()
        ]


def _openvino(folder: Path, threads: int) -> _OpenVino:
    try:
        openvino = importlib.import_module("openvino")
    except ImportError as error:
        raise UnsupportedError(
            "runtime openvino: OpenVINO is not installed here. Run pip install "
            "'boardquant[openvino]', or measure in onnxruntime."
        ) from error
    settings: dict[str, Any] = {"PERF_COUNT": True, "PERFORMANCE_HINT": "LATENCY"}
    settings |= {"INFERENCE_PRECISION_HINT": "f32"}
    settings |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
    core = openvino.Core()
    model = core.read_model(folder / "model.onnx")
    return _OpenVino(lambda: core.compile_model(model, "CPU", settings))

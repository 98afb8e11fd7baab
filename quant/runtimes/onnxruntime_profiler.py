"""ONNX Runtime's own profile of a model, without the overhead of profiling."""

__all__ = ["OrtProfile", "profiling_overhead"]

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort

from quant.runtimes.kernel import Feeds, KernelTime, shortest


class OrtProfile:
    """Two sessions of ONNX Runtime, one of which writes its profile beside the model.

    Profiling adds some microseconds to each kernel. The time by which all kernels together exceed a
    run without profiling is subtracted from them in equal parts.
    """

    def __init__(self, path: Path, threads: int) -> None:
        folder = path.parent
        self._clock = time.process_time if threads == 1 else time.perf_counter
        self._plain = _session(path, _options(threads))
        self._runs: list[float] = []
        options = _options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        self._optimized = folder / "optimized.onnx"
        options.optimized_model_filepath = str(self._optimized)
        for key, value in (("file_name", "optimized.data"), ("min_size_in_bytes", "1024")):
            entry = f"session.optimized_model_external_initializers_{key}"
            options.add_session_config_entry(entry, value)
        self._session = _session(path, options)

    def run(self, feeds: Feeds) -> None:
        """Run both sessions once."""
        self._session.run(None, dict(feeds))
        start = self._clock()
        self._plain.run(None, dict(feeds))
        self._runs.append(1000 * (self._clock() - start))

    def kernels(self, skip: int) -> list[KernelTime]:
        """End the profile and return its kernels: one event per node and run, in microseconds."""
        events = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        nodes = onnx.load(self._optimized, load_external_data=False).graph.node
        tensors = {node.name: (*node.output, *node.input) for node in nodes}
        times: dict[tuple[str, str], list[float]] = {}
        for event in events:
            name = str(event.get("name", ""))
            if event.get("cat") == "Node" and name.endswith("_kernel_time"):
                key = (event["args"]["op_name"], name.removesuffix("_kernel_time"))
                times.setdefault(key, []).append(event["dur"] / 1000)
        fastest = {key: shortest(durations, skip) for key, durations in times.items()}
        overhead = profiling_overhead(list(fastest.values()), shortest(self._runs, skip))
        return [
            KernelTime(
                op=op,
                names=(name,),
                tensors=tensors.get(name, ()),
                milliseconds=max(milliseconds - overhead, 0.0),
            )
            for (op, name), milliseconds in fastest.items()
        ]


def profiling_overhead(kernels: Sequence[float], whole: float) -> float:
    """Return the time to subtract from each kernel so that together they take `whole`; at least 0.

    No kernel becomes negative: where small kernels are shorter, more is subtracted from the others.

    >>> profiling_overhead([1.0, 0.5, 0.125], 1.0)
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


def _session(path: Path, options: Any) -> Any:
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

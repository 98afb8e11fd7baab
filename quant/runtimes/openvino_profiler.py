"""OpenVINO's performance counters of a model, as times of single runs."""

__all__ = ["COUNTED", "OpenVinoCounters"]

import time
from collections.abc import Callable
from typing import Any

from quant.runtimes.kernel import Feeds, KernelTime, shortest

COUNTED = 5
"""Runs between two readings of the counters, which are whole microseconds."""


class OpenVinoCounters:
    """A model in OpenVINO, compiled with and without performance counters.

    The counters hold the mean of all runs since the model was compiled. So the model is compiled again
    every `COUNTED` runs, and the first run, which allocates memory, is left out: the mean of the others
    is (n * mean(n) - mean(1)) / (n - 1). The counters measure wall time: where they add up to more than
    a run without counters takes, other work used the processor, and all are scaled down to that run.
    """

    def __init__(self, compiled: Callable[[bool], Any], threads: int) -> None:
        self._clock = time.process_time if threads == 1 else time.perf_counter
        self._compiled = compiled
        self._plain = compiled(False).create_infer_request()
        self._whole: list[float] = []
        self._request: Any = None
        self._names: dict[str, tuple[str, ...]] = {}
        self._sources: dict[str, tuple[str, ...]] = {}
        self._first: dict[tuple[str, str], float] = {}
        self._times: dict[tuple[str, str], list[float]] = {}

    def run(self, feeds: Feeds) -> None:
        """Run both models once."""
        position = len(self._whole) % COUNTED
        if position == 0:
            self._open()
        self._request.infer(dict(feeds))
        start = self._clock()
        self._plain.infer(dict(feeds))
        self._whole.append(1000 * (self._clock() - start))
        if position == 0:
            self._first = self._means()
        elif position == COUNTED - 1:
            for key, mean in self._means().items():
                mean_of_others = (COUNTED * mean - self._first.get(key, mean)) / (COUNTED - 1)
                self._times.setdefault(key, []).append(max(mean_of_others, 0.0))

    def _open(self) -> None:
        compiled = self._compiled(True)
        self._request = compiled.create_infer_request()
        for op in compiled.get_runtime_model().get_ordered_ops():
            name = op.get_friendly_name()
            held = op.get_rt_info()["originalLayersNames"].astype(str)
            self._names[name] = (*held.split(","), name)
            fed = [x.get_source_output().get_node().get_friendly_name() for x in op.inputs()]
            self._sources[name] = tuple(n for f in fed for n in self._names.get(f, (f,)))

    def _means(self) -> dict[tuple[str, str], float]:
        """Return the counters in milliseconds by kernel."""
        executed = [p for p in self._request.profiling_info if str(p.status).endswith("EXECUTED")]
        return {(p.node_type, p.node_name): p.real_time.total_seconds() * 1000 for p in executed}

    def kernels(self, skip: int) -> list[KernelTime]:
        """Return the counted kernels, without the first `skip` runs."""
        fastest = {key: min(times) for key, times in self._times.items()}
        total = sum(fastest.values())
        scale = min(1.0, shortest(self._whole, skip) / total) if total else 1.0
        return [
            KernelTime(
                op=op,
                names=self._names.get(name, (name,)),
                tensors=self._sources.get(name, ()),
                milliseconds=scale * milliseconds,
            )
            for (op, name), milliseconds in fastest.items()
        ]

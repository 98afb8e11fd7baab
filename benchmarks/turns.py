"""Turns: files of models timed in one runtime, one inference after another, so that drift cancels."""

__all__ = ["Took", "timed"]

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from quant.common.errors import QuantError
from quant.gate.candidate import open_candidate
from quant.target.table import find_runtime

WARM = 3
"""Rounds that do not count."""


@dataclass(frozen=True, slots=True, order=True)
class Took:
    """Milliseconds of one inference.

    Attributes:
        ms: The least of the rounds: other work can only raise it.
        spread: The median over the least: what the machine itself did meanwhile.
    """

    ms: float
    spread: float


def timed(
    models: Mapping[str, Path],
    names: tuple[Sequence[str], Sequence[str]],
    feeds: Mapping[str, Any],
    runtime: str,
    threads: int,
    rounds: int,
) -> dict[str, Took]:
    """Return what each model took; what the runtime refuses is left out.

    With one thread the clock is the processor's time of this process: it stands still while others
    have the core. With more it is that of the wall.

    Args:
        models: ONNX files by name, of one network.
        names: Its inputs and its outputs.
        feeds: The tensors of one inference.
        runtime: "onnxruntime" or "openvino".
        threads: Threads inside one operator; 0 for all cores.
        rounds: How often each runs.
    """
    opened = {}
    for name, path in models.items():
        try:
            opened[name] = open_candidate(path, *names, find_runtime(runtime), threads)
            opened[name].run(names[1], feeds)
        except QuantError:
            opened.pop(name, None)
    times: dict[str, list[float]] = {name: [] for name in opened}
    clock = time.process_time if threads == 1 else time.perf_counter
    for _ in range(WARM + rounds):
        for name, one in opened.items():
            start = clock()
            one.run(names[1], feeds)
            times[name].append(1000 * (clock() - start))
    found = {}
    for name, told in times.items():
        low = min(told[WARM:])
        found[name] = Took(low, median(told[WARM:]) / low)
    return found

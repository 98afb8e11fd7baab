"""Turns: files of models timed in one runtime, one inference after another, so that drift cancels."""

__all__ = ["Took", "timed"]

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import QuantError
from quant.runtimes import open_candidate

WARM = 3
"""Rounds that do not count."""


@dataclass(frozen=True, slots=True, order=True)
class Took:
    """Milliseconds of one inference.

    Attributes:
        ms: The lower quartile over the rounds.
        spread: The upper quartile over the lower: what the machine itself did meanwhile.
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
            opened[name] = open_candidate(path, *names, runtime, threads)
            opened[name].run(names[1], feeds)
        except QuantError:
            opened.pop(name, None)
    times: dict[str, list[float]] = {name: [] for name in opened}
    for _ in range(WARM + rounds):
        for name, one in opened.items():
            start = time.perf_counter()
            one.run(names[1], feeds)
            times[name].append(1000 * (time.perf_counter() - start))
    found = {}
    for name, told in times.items():
        low, high = np.percentile(told[WARM:], [25, 75])
        found[name] = Took(float(low), float(high / low))
    return found

"""Kernel times: what a runtime's own profiler says of every kernel, models taking turns.

A machine is never alone. Models that are compared run one after another, round by round, so that what
slows the machine slows all of them; and of the times of one kernel the least counts, which other work
can only raise.
"""

__all__ = ["kernel_times"]

import tempfile
from collections.abc import Mapping
from pathlib import Path

import onnx_ir as ir

from quant.common.errors import UnsupportedError
from quant.runtimes.kernel import Feeds, KernelTime
from quant.runtimes.runtime import Runtime

WARM = 2
"""First rounds that do not count: memory is allocated, code generated."""


def kernel_times(
    models: Mapping[str, ir.Model],
    feeds: Mapping[str, Feeds],
    *,
    runtime: Runtime,
    threads: int = 1,
    rounds: int = 18,
) -> dict[str, list[KernelTime]]:
    """Return the kernels of each model, by its name.

    Args:
        models: By name; weights may be external tensors.
        feeds: By the model's name the arrays of its inputs.
        runtime: One that times kernels.
        threads: Threads inside one operator; 0 for all cores.
        rounds: How often each model runs at the least, after two runs that do not count.

    Raises:
        UnsupportedError: The runtime is not installed, or has no profiler.
    """
    if runtime.profile is None:
        raise UnsupportedError(
            f"runtime {runtime.name}: kernel times come from a runtime's own profiler, and "
            f"{runtime.title} has none. Measure in another runtime."
        )
    with tempfile.TemporaryDirectory() as folder:
        opened = {}
        for number, (name, model) in enumerate(models.items()):
            place = Path(folder) / str(number)
            place.mkdir()
            ir.save(model, place / "model.onnx", external_data="model.data")
            opened[name] = runtime.profile(place / "model.onnx", threads)
        for _ in range(-(-(WARM + rounds) // runtime.period) * runtime.period):
            for name, one in opened.items():
                one.run(feeds[name])
        return {name: one.kernels(WARM) for name, one in opened.items()}

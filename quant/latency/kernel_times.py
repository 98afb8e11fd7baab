"""The time of every kernel by a runtime's own profiler, for several models that run in turn.

Other work on the machine disturbs the times. The models run one after another, round by round, so that
all of them are slowed alike, and the shortest time of each kernel counts, because other work can only
lengthen it.
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
"""The first rounds do not count: memory is allocated and code is generated."""


def kernel_times(
    models: Mapping[str, ir.Model],
    feeds: Mapping[str, Feeds],
    *,
    runtime: Runtime,
    threads: int = 1,
    rounds: int = 18,
) -> dict[str, list[KernelTime]]:
    """Return the timed kernels of each model, by the name of the model.

    Args:
        models: Models by name; weights may be external tensors.
        feeds: Input arrays of each model, by the name of the model.
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
        sessions = {}
        for number, (name, model) in enumerate(models.items()):
            place = Path(folder) / str(number)
            place.mkdir()
            ir.save(model, place / "model.onnx", external_data="model.data")
            sessions[name] = runtime.profile(place / "model.onnx", threads)
        for _ in range(-(-(WARM + rounds) // runtime.period) * runtime.period):
            for name, session in sessions.items():
                session.run(feeds[name])
        return {name: session.kernels(WARM) for name, session in sessions.items()}

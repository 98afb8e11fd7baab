"""Layer times measured on this machine, saved so that a resumed search has the same times."""

__all__ = ["measured_here"]

from dataclasses import replace
from pathlib import Path

from quant.common.files import KeyedFile
from quant.common.fingerprint import digest
from quant.cost.layer_costs import CostTable
from quant.formats.precision import Precision
from quant.latency.measure import TimedNetwork, measure_cost

FORMAT = "quant-latency-1"


def measured_here(network: TimedNetwork, base: CostTable, path: Path) -> CostTable | None:
    """Return a table with the times of this machine; None where it cannot run the target.

    Times differ from run to run, so they are saved in a file. They are read from it where it is of
    the same graph, shapes and threads; without the file they are measured again.

    Args:
        network: The network and its input; it is measured in the first runtime of its target.
        base: Bytes and operations at every precision; its times are not used. A precision without a
            kernel of its own takes the time of the one that runs it: int8 for integers.
        path: The file of saved times.
    """
    target, feeds = network.target, network.feeds
    runtime = next(iter(target.runtimes), None)
    if runtime is None or runtime.profile is None or runtime.version is None:
        return None
    shapes = [f"{name}{list(x.shape)}" for name, x in sorted(feeds.items())]
    key = digest(network.graph.fingerprint, runtime.name, str(network.threads), *shapes)
    file = KeyedFile(path=path, format=FORMAT, key=key)
    saved = file.read()
    if saved is None:
        table = measure_cost(network, runtime=runtime).table
        saved = {
            "device": table.device,
            "assumptions": list(table.assumptions),
            "byte_ms": table.byte_ms,
            "convert_ms": table.convert_ms,
            "layers": [[*k, cost.milliseconds] for k, cost in table.layers.items()],
        }
        file.write(saved)
    times = {(str(n), str(p)): float(ms) for n, p, ms in saved["layers"]}
    return replace(
        base,
        device=saved["device"],
        layers={
            (name, p): replace(cost, milliseconds=times[name, _kernel(p)], bound="measured")
            for (name, p), cost in base.layers.items()
        },
        assumptions=tuple(saved["assumptions"]),
        byte_ms=saved["byte_ms"],
        convert_ms=saved["convert_ms"],
    )


def _kernel(precision: Precision) -> Precision:
    return Precision.INT8 if precision.quantized else Precision.FLOAT32

"""Cost here: layer times measured on this machine, kept so that a search that goes on has the same."""

__all__ = ["measured_here"]

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from quant.common.files import KeyedFile
from quant.common.fingerprint import digest
from quant.cost.layer_costs import CostTable
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph
from quant.profile.statistics import Profile
from quant.target.table import Target

FORMAT = "quant-latency-1"


def measured_here(
    graph: Graph,
    profile: Profile,
    target: Target,
    feeds: Mapping[str, NDArray[Any]],
    base: CostTable,
    *,
    threads: int,
    path: Path,
) -> CostTable | None:
    """Return a table with the times of this machine; None where it cannot run the target.

    Times differ from run to run. So they are written to a file, and read from it where that is of
    the same graph, shapes and threads: take it away to measure anew.

    Args:
        graph: The prepared graph.
        profile: Of it.
        target: Measured in the first of its runtimes.
        feeds: By input name the tensors of one inference.
        base: Bytes and operations at every precision; its times are not used. What has no kernel of
            its own takes the time of the one that runs it: int8 for integers.
        threads: Threads inside one operator; 0 for all cores.
        path: The file.
    """
    runtime = next(iter(target.runtimes), None)
    if runtime is None or runtime.profile is None or runtime.version is None:
        return None
    shapes = [f"{name}{list(x.shape)}" for name, x in sorted(feeds.items())]
    key = digest(graph.fingerprint, runtime.name, str(threads), *shapes)
    file = KeyedFile(path=path, format=FORMAT, key=key)
    known = file.read()
    if known is None:
        from quant.latency.measure import (
            measure_cost,  # here, for it starts processes' worth of work
        )

        table = measure_cost(graph, profile, target, feeds, runtime=runtime, threads=threads).table
        known = {
            "device": table.device,
            "assumptions": list(table.assumptions),
            "byte_ms": table.byte_ms,
            "convert_ms": table.convert_ms,
            "layers": [[*k, cost.milliseconds] for k, cost in table.layers.items()],
        }
        file.write(known)
    times = {(str(n), str(p)): float(ms) for n, p, ms in known["layers"]}
    return replace(
        base,
        device=known["device"],
        layers={
            (name, p): replace(cost, milliseconds=times[name, _kernel(p)], bound="measured")
            for (name, p), cost in base.layers.items()
        },
        assumptions=tuple(known["assumptions"]),
        byte_ms=known["byte_ms"],
        convert_ms=known["convert_ms"],
    )


def _kernel(precision: Precision) -> Precision:
    return Precision.INT8 if precision.quantized else Precision.FLOAT32

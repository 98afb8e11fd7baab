"""Measure every layer's time in a runtime, and whether such times add up.

The table of `quant.latency.measure` says what each layer takes in float32 and in int8, from the
runtime's own profiler. Plans that keep some weighted layers in float, chosen by --seed, are then
exported and run without a profiler, in turns with the float and the int8 model; printed is the time
that the table predicts of each over the time it took, and "ratio of ratios": that of the plan over
that of float32, in which a machine that was slower meanwhile cancels. Each model is timed before and
after the profile, and the least of all rounds counts, as it does of a kernel; "spread" is the median
over the least: what the machine itself did meanwhile.
"""

__all__ = ["main"]

import sys

sys.path.append(sys.path.pop(0))  # see profile.py beside this file

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from subject import FLAGS, add_flags, open_subject
from turns import Took, timed

from quant.calibration.profiling.run_profile import profile
from quant.common.errors import QuantError
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph, weight_of
from quant.latency.measure import (
    MeasuredCost,
    TimedNetwork,
    exported_model,
    measure_cost,
    plan_with,
)
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.target.table import TARGETS, every_runtime

COLUMNS = (
    *("plan", "float layers", "predicted ms", "measured ms", "ratio", "ratio of ratios", "spread"),
)
SHARES = (0.1, 0.3, 0.6)
"""Of the weighted layers, in float."""


def plans_of(graph: Graph, seen: Profile, target: str, seed: int) -> dict[str, Plan]:
    """Return the plans: all in integers, the first and last layer in float, and random ones."""
    weighted = [x.name for x in graph.layers if weight_of(x.node) is not None]
    rng = np.random.default_rng(seed)
    floats: dict[str, list[str]] = {"int8": [], "ends": [weighted[0], weighted[-1]]}
    for share in SHARES:
        count = max(1, round(share * len(weighted)))
        floats[f"{share:.0%}"] = [str(n) for n in rng.choice(weighted, count, replace=False)]
    table = TARGETS[target]
    return {name: plan_with(graph, seen, table, chosen) for name, chosen in floats.items()}


def rows_of(
    graph: Graph, cost: MeasuredCost, plans: Mapping[str, Plan], told: Mapping[str, Took], rows: int
) -> list[tuple[str, ...]]:
    """Return the rows of the table."""
    chosen = {"float32": {x.name: Precision.FLOAT32 for x in graph.layers}}
    chosen |= {n: {k: x.precision for k, x in plan.layers.items()} for n, plan in plans.items()}
    weighted = {x.name for x in graph.layers if weight_of(x.node) is not None}
    found = []
    base = rows * cost.table.milliseconds(chosen["float32"], graph) / told["float32"].ms
    for name, precisions in chosen.items():
        predicted = rows * cost.table.milliseconds(precisions, graph)
        count = sum(precisions[n] == "float32" for n in weighted)
        ratio = predicted / told[name].ms
        numbers = (
            f"{predicted:.3f}",
            f"{told[name].ms:.3f}",
            f"{ratio:.2f}",
            f"{ratio / base:.2f}",
        )
        found.append((name, f"{count} of {len(weighted)}", *numbers, f"{told[name].spread:.2f}"))
    return found


def run(given: argparse.Namespace) -> None:
    """Measure and print."""
    flags = {name: getattr(given, name) for name in FLAGS}
    subject = open_subject(given.model, given.data, flags)
    graph = subject.graph
    stream = list(subject.stream(range(min(given.samples, len(subject.data))), subject.batch))
    seen = profile(graph, stream, threads=0)
    rows = subject.batch if subject.fixed else 1
    feeds = {name: x[:rows] for name, x in stream[0].feeds.items()}
    for runtime in given.runtime or ("onnxruntime",):
        with tempfile.TemporaryDirectory() as folder:
            print_runtime(given, runtime, graph, seen, feeds, Path(folder))


def print_runtime(
    given: argparse.Namespace,
    runtime: str,
    graph: Graph,
    seen: Profile,
    feeds: Mapping[str, Any],
    folder: Path,
) -> None:
    """Print the table of one runtime."""
    target = TARGETS[runtime]
    plans = plans_of(graph, seen, runtime, given.seed)
    models = {"float32": graph.model}
    models |= {n: exported_model(graph, plan, target) for n, plan in plans.items()}
    paths = {name: folder / f"{i}.onnx" for i, name in enumerate(models)}
    for name, model in models.items():
        ir.save(model, paths[name])
    names = ([str(v.name) for v in graph.inputs], [str(v.name) for v in graph.outputs])
    often = {"runtime": runtime, "threads": given.threads, "rounds": given.rounds}
    before = timed(paths, names, feeds, **often)
    network = TimedNetwork(
        graph=graph, profile=seen, target=target, feeds=feeds, threads=given.threads
    )
    cost = measure_cost(network, rounds=given.rounds)
    after = timed(paths, names, feeds, **often)
    told = {name: min(before[name], after[name]) for name in models}
    print(f"\n{Path(given.model).name}, {cost.table.device}")
    print(
        "mapped: "
        + ", ".join(f"{name} {100 * share:.1f} %" for name, share in cost.mapped.items())
        + f"; a conversion {1000 * cost.table.convert_ms:.1f} us and "
        f"{1e9 * cost.table.byte_ms:.3g} us a MB\n"
    )
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for row in rows_of(graph, cost, plans, told, len(next(iter(feeds.values())))):
        print("| " + " | ".join(row) + " |")


def main() -> int:
    """Run the benchmark; 2 when the model or the data cannot be read."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/latency.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--samples", type=int, default=8, help="to profile; ranges cost no time")
    parser.add_argument(
        "--runtime", action="append", choices=list(every_runtime()), help="repeat for several"
    )
    parser.add_argument("--threads", type=int, default=1, help="0 for all cores")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    add_flags(parser)
    given = parser.parse_args()
    try:
        run(given)
    except (QuantError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

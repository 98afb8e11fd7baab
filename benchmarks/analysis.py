"""Measure what the analysis of all layers costs, against the float network run as often as it must.

Knowing each layer's isolated error on each image takes layers x images runs, of half the network on
the average. That many float runs are the floor; the analysis (isolated, cumulative and local error,
by image and by channel) is given as a multiple of it. Below 3 is what was aimed at. Page and figures
are timed beside it.
"""

__all__ = ["main"]

import sys

sys.path.append(sys.path.pop(0))  # see profile.py beside this file

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from subject import FLAGS, add_flags, open_subject

from quant.analysis.analyse import analyse
from quant.analysis.cumulative import cumulative
from quant.analysis.isolated import isolated_errors
from quant.analysis.layer_table import measured_layers
from quant.analysis.local import local_errors
from quant.analysis.measured_errors import MeasuredErrors
from quant.calibration.profiling.run_profile import profile
from quant.choose.planner import Planner
from quant.common.errors import QuantError
from quant.graph.session import open_session
from quant.plan.planned_graph import PlannedGraph
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what `work` returns, and its seconds."""
    start = time.perf_counter()
    made = work()
    return made, time.perf_counter() - start


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds of each part and of the floor."""
    flags = {name: getattr(arguments, name) for name in FLAGS}
    subject = open_subject(arguments.model, arguments.data, flags)
    graph = subject.graph
    count = min(arguments.samples, len(subject.data))
    some = list(subject.stream(range(count), subject.batch))
    seen = profile(graph, some, threads=arguments.threads)
    target = TARGETS[arguments.target]
    plan = Planner(target=target).choose(graph, seen)
    layers = measured_layers(graph, plan)
    model = quantize_graph(graph, plan, target, weight_form="integer")
    session = open_session(graph.model, threads=arguments.threads)
    for batch in some[:1]:
        session.run(None, dict(batch.feeds))
    _, plain = timed(lambda: [session.run(None, dict(b.feeds)) for b in some])
    given = (graph, model, layers, some, arguments.threads)
    alone, isolated = timed(lambda: isolated_errors(*given))
    together, cumulated = timed(lambda: cumulative(*given))
    beside, local = timed(lambda: local_errors(*given))
    keys = [key for batch in some for key in batch.keys]
    planned = PlannedGraph(graph=graph, plan=plan, profile=seen)
    errors = MeasuredErrors(isolated=alone, cumulative=together, local=beside)
    _, rest = timed(lambda: analyse(planned, layers, keys, errors))
    floor = plain * len(layers) / 2
    total = isolated + cumulated + local + rest
    parts = {"isolated": isolated, "cumulative": cumulated, "local": local, "statistics": rest}
    return {
        "model": graph.name,
        "layers": len(layers),
        "images": count,
        "float_seconds_per_image": plain / count,
        "floor_seconds": floor,
        "seconds": parts | {"total": total},
        "ratio": total / floor,
    }


def drawn(run: str) -> dict[str, float]:
    """Return the seconds that page and figures of a run's folder take."""
    from quant.results.saved_run import load_run
    from quant.visualize.figures.write_figures import write_figures
    from quant.visualize.report.html import write_report

    saved, reading = timed(lambda: load_run(Path(run)))
    with tempfile.TemporaryDirectory() as scratch:
        _, page = timed(lambda: write_report(saved, Path(scratch) / "report.html"))
    _, figures = timed(lambda: write_figures(saved))
    return {"reading": reading, "page": page, "figures": figures}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/analysis.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="ONNX file")
    parser.add_argument("--data", required=True, help="as of quant calibrate")
    parser.add_argument("--samples", type=int, default=64, help="images; default 64")
    parser.add_argument("--target", default="onnxruntime", help="default onnxruntime")
    parser.add_argument("--threads", type=int, default=0, help="in one operator; 0 for all cores")
    parser.add_argument("--run", help="folder of a run: page and figures are timed too")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_flags(parser)
    arguments = parser.parse_args()
    try:
        found = measure(arguments)
        if arguments.run:
            found["drawing_seconds"] = drawn(arguments.run)
    except QuantError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(found, indent=2))
        return 0
    print(f"{found['model']}: {found['layers']} layers, {found['images']} images")
    print(f"  float inference    {1e3 * found['float_seconds_per_image']:8.2f} ms an image")
    print(f"  floor              {found['floor_seconds']:8.2f} s (layers x images / 2 of it)")
    for name, seconds in found["seconds"].items():
        print(f"  {name:18} {seconds:8.2f} s")
    print(f"  ratio to the floor {found['ratio']:8.2f} (aimed at 3 or less)")
    for name, seconds in found.get("drawing_seconds", {}).items():
        print(f"  {name:18} {seconds:8.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure how far a roofline is from the clock: ONNX Runtime on this machine's CPU.

A device is made of three small measurements, each the best of several: the operations a second of a
matrix product of 384 x 384 x 384 in float32 and in int8 (QLinearMatMul), the bytes a second of
copying 64 MB, and the time of one node among 200 that do next to nothing. The roofline of each
model on that device is held against the time of the whole network, batch 1, the best of several:
as float, and as the int8 graph that the target `onnxruntime` writes. A table is printed, and the
ratio measured / predicted: 1 is a perfect prediction, above 1 the network is slower.

The int8 graph is calibrated on noise, for times do not depend on the numbers.
"""

__all__ = ["main"]

import sys

sys.path.append(sys.path.pop(0))  # see profile.py beside this file

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from quant.calibration import Batch
from quant.calibration.profiling.run_profile import profile
from quant.calibration.profiling.statistics_graph import micro_batch, profiled_tensors
from quant.choose.planner import Planner
from quant.common.errors import QuantError
from quant.cost.layer_costs import CostTable
from quant.cost.open_sizes import chosen_sizes
from quant.cost.predict import network_precisions
from quant.cost.roofline import roofline
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session
from quant.load.open_graph import open_graph
from quant.target.deployment import Deployment
from quant.target.device import Device
from quant.target.table import TARGETS

SIDE = 384
COPIED = 64_000_000
NODES = 200


def best(run: Callable[[], object], rounds: int) -> float:
    """Return the least seconds of a call, after one to warm up: others use the machine too."""
    run()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def session_of(text: str, weights: Mapping[str, Any], threads: int) -> ort.InferenceSession:
    """Return a session of a graph in onnx's text format."""
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    for name, array in weights.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return open_session(ir.from_proto(proto), threads=threads, alone=True)


def calibrated(threads: int, rounds: int) -> Device:
    """Return this machine as a device."""
    rng = np.random.default_rng(0)
    real = rng.normal(size=(SIDE, SIDE)).astype(np.float32)
    whole = rng.integers(0, 255, (SIDE, SIDE)).astype(np.uint8)
    one, zero = np.float32(0.02), np.uint8(128)
    plain = session_of(
        f"g (float[{SIDE},{SIDE}] x) => (float[{SIDE},{SIDE}] y) {{ y = MatMul(x, w) }}",
        {"w": real},
        threads,
    )
    integer = session_of(
        f"g (uint8[{SIDE},{SIDE}] x) => (uint8[{SIDE},{SIDE}] y) "
        "{ y = QLinearMatMul(x, s, z, w, s, t, s, z) }",
        {
            "w": rng.integers(-127, 127, (SIDE, SIDE)).astype(np.int8),
            "s": one,
            "z": zero,
            "t": np.int8(0),
        },
        threads,
    )
    chain = " ".join(f"v{i + 1} = Sin(v{i})" for i in range(NODES))
    small = session_of(f"g (float[1] v0) => (float[1] v{NODES}) {{ {chain} }}", {}, threads)
    source = np.ones(COPIED, np.uint8)
    target = np.empty_like(source)
    work = 2 * SIDE**3
    return Device(
        name="here",
        title="this machine",
        peak={
            "float32": work / best(lambda: plain.run(None, {"x": real}), rounds),
            "int8": work / best(lambda: integer.run(None, {"x": whole}), rounds),
        },
        bandwidth=2 * COPIED / best(lambda: np.copyto(target, source), rounds),
        overhead=best(lambda: small.run(None, {"v0": np.ones(1, np.float32)}), rounds) / NODES,
    )


def measured(model: ir.Model, feeds: Mapping[str, Any], threads: int, rounds: int) -> float:
    """Return the milliseconds of an inference."""
    session = open_session(model, threads=threads, alone=True)
    return 1e3 * best(lambda: session.run(None, dict(feeds)), rounds)


def exported(graph: Graph, shapes: Mapping[str, tuple[int, ...]], folder: Path) -> ir.Model:
    """Return the int8 graph that the target writes into a folder."""
    target, rows = TARGETS["onnxruntime"], micro_batch(graph, profiled_tensors(graph))
    rng = np.random.default_rng(1)
    feeds = {n: rng.normal(size=(rows, *s[1:])).astype(np.float32) for n, s in shapes.items()}
    batch = Batch(
        keys=("noise",) * rows,
        feeds=feeds,
        labels=(None,) * rows,
        digests=(0,) * rows,
        count=rows,
    )
    plan = Planner(target=target, observer="minmax").choose(graph, profile(graph, [batch]))
    target.write(graph, plan, folder, Deployment())
    return ir.load(folder / "model.onnx")


def rows_of(
    source: str, sizes: tuple[str, ...], device: Device, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Return a row for float and one for int8."""
    _, graph = open_graph(source)
    shapes = chosen_sizes(graph, sizes)
    rng = np.random.default_rng(0)
    feeds = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    target = TARGETS["onnxruntime"]
    table = roofline(graph, target, device, shapes)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        models = {"float32": graph.model, "int8": exported(graph, shapes, Path(folder))}
        for precision, model in models.items():
            spent = measured(model, feeds, options.threads, options.rounds)
            said = predicted(table, graph, precision)
            row = {"model": graph.name, "precision": precision, "predicted_ms": said}
            found.append({**row, "measured_ms": spent, "ratio": spent / said})
    return found


def predicted(table: CostTable, graph: Graph, precision: str) -> float:
    """Return the milliseconds of the whole network."""
    chosen = network_precisions(graph, TARGETS["onnxruntime"], precision)
    return table.milliseconds(chosen, graph)


def main() -> int:
    """Measure and print; 2 when a model cannot be run."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/roofline.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="+", metavar="model")
    parser.add_argument("--size", action="append", default=[], help="as in quant roofline")
    parser.add_argument("--threads", type=int, default=1, help="in one operator; default 1")
    parser.add_argument(
        "--rounds", type=int, default=200, help="of which the best counts; default 200"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    try:
        device = calibrated(options.threads, options.rounds)
        rows = [r for m in options.models for r in rows_of(m, tuple(options.size), device, options)]
    except QuantError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    told = {
        "threads": options.threads,
        "peak": dict(device.peak),
        "bandwidth": device.bandwidth,
        "overhead": device.overhead,
    }
    if options.json:
        print(json.dumps({"device": told, "rows": rows}, indent=2))
        return 0
    peaks = ", ".join(f"{p} {v / 1e9:.1f}" for p, v in device.peak.items())
    print(
        f"{options.threads} thread(s): 10**9 operations a second: {peaks}; "
        f"{(device.bandwidth or 0) / 1e9:.1f} GB/s; {1e6 * device.overhead:.2f} us a node\n"
    )
    print(
        "| model | precision | predicted ms | measured ms | measured / predicted |\n|---|---|---|---|---|"
    )
    for row in rows:
        numbers = f"{row['predicted_ms']:.3f} | {row['measured_ms']:.3f} | {row['ratio']:.2f}"
        print(f"| {row['model']} | {row['precision']} | {numbers} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

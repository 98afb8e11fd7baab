"""Measure how far a converted Caffe network is from the ONNX model, in two programs.

Each model is prepared, converted, and run on one seeded input in ONNX Runtime (as it came), in
OpenCV and in MNN. Printed is, for every output, the largest error over the largest value. What
NNIE's Caffe cannot say is listed; if it can be cut off, the part before the cut is measured.
With --reference, somebody's own Caffe model of the same network runs in OpenCV on the same input.

    python benchmarks/caffe_parity.py rfb320.onnx --reference rfb320.prototxt rfb320.caffemodel
    python benchmarks/caffe_parity.py centerface.onnx --size input.1=3x480x640
"""

__all__ = ["main"]

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for the programs that the tests run

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.common.errors import QuantError, UnsupportedError
from quant.export.caffe.convert import CaffeNet, convert, refusals
from quant.export.caffe.cut import cut_tail
from quant.export.caffe.network.files import parse_prototxt
from quant.graph.fixed_shapes import with_fixed_shapes
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session
from quant.load.open_graph import load
from quant.load.prepare import prepare
from tests.export.caffe.programs import Job, mnn_outputs, opencv_outputs

Arrays = Mapping[str, NDArray[Any]]
Sizes = Mapping[str, tuple[int, ...]]


def size(text: str) -> tuple[str, tuple[int, ...]]:
    """Return name and shape of `NAME=3x224x224`."""
    name, _, numbers = text.rpartition("=")
    return name, tuple(int(n) for n in numbers.split("x"))


def error(seen: NDArray[Any], want: NDArray[Any]) -> float:
    """Return the largest error over the largest value."""
    return float(np.abs(seen.reshape(-1) - want.reshape(-1)).max() / np.abs(want).max())


def reference(paths: Sequence[str], feeds: Arrays) -> dict[str, NDArray[Any]]:
    """Return what OpenCV computes of somebody's Caffe model: the blobs that no layer reads."""
    text = Path(paths[0]).read_text(encoding="utf-8")
    layers = parse_prototxt(text, paths[0]).layer
    read = {bottom for layer in layers for bottom in layer.bottom}
    ends = [top for layer in layers for top in layer.top if top not in read]
    names = [layer.name for layer in layers if layer.type == "Input"]
    given = dict(zip(names, feeds.values(), strict=True))
    weights = Path(paths[1]).read_bytes()
    job = Job(prototxt=text, caffemodel=weights, feeds=given, blobs=tuple(dict.fromkeys(ends)))
    return opencv_outputs(job)


def halves(path: str, sizes: Sizes) -> tuple[Graph, Graph]:
    """Return what to convert and what to hold it against: the model as it came.

    Where something cannot be converted it is said, and both are the prepared graph before it.
    """
    model = load(path)
    graph = prepare(model, Path(path).stem, path)
    found = refusals(graph, sizes)
    if not found:
        came = Graph(with_fixed_shapes(Graph(model, "came", path), sizes), "came")
        return Graph(with_fixed_shapes(graph, sizes), graph.name, path), came
    print("\n".join(map(str, found)))
    cut = cut_tail(graph, {f.layer for f in found if f.layer}, sizes)
    if cut is None:
        raise UnsupportedError(
            f"{path}: layers with weights follow what cannot be converted, and a tail must have "
            "none. Make these nodes Custom layers."
        )
    print(f"cut off: {len(cut[1].graph)} nodes")
    return cut[0], cut[0]


def measured(path: str, sizes: Sizes, reference_paths: Sequence[str] | None) -> None:
    """Print the errors of one model."""
    graph, came = halves(path, sizes)
    net = convert(graph)
    rng = np.random.default_rng(0)
    feeds = {
        str(v.name): rng.normal(size=net.shapes[net.inputs[str(v.name)]]).astype(np.float32)
        for v in graph.inputs
    }
    wanted = in_onnx(came, net, feeds)
    given = {net.inputs[n]: a for n, a in feeds.items()}
    job = Job(prototxt=net.prototxt, caffemodel=net.caffemodel, feeds=given, blobs=net.outputs)
    programs: dict[str, Any] = {"OpenCV": opencv_outputs(job), "MNN": mnn_outputs([job])[0]}
    theirs = reference(reference_paths, given) if reference_paths else {}
    for tensor, want in wanted.items():
        said = [f"{path} | {tensor} | {list(want.shape)}"]
        for program, made in programs.items():
            if isinstance(made, str):
                said.append(f"{program} cannot: {made.strip().splitlines()[-1][:60]}")
            else:
                said.append(f"{program} {error(made[net.tops[tensor]], want):.1e}")
        for blob, array in theirs.items():
            if array.size == want.size:
                ours = programs["OpenCV"][net.tops[tensor]]
                said.append(f"theirs '{blob}' {error(array, ours):.1e}")
        print(" | ".join(said))


def in_onnx(graph: Graph, net: CaffeNet, feeds: Arrays) -> dict[str, NDArray[Any]]:
    """Return the outputs that ONNX Runtime computes."""
    given = {n: a.transpose(0, 2, 3, 1) if n in net.planar else a for n, a in feeds.items()}
    session = open_session(graph.model)
    names = [str(v.name) for v in graph.outputs]
    return dict(zip(names, session.run(names, given), strict=True))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/caffe_parity.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--size", action="append", type=size, default=[], metavar="NAME=3x224x224")
    parser.add_argument("--reference", nargs=2, metavar=("PROTOTXT", "CAFFEMODEL"))
    flags = parser.parse_args(argv)
    try:
        for path in flags.models:
            measured(path, dict(flags.size), flags.reference)
    except QuantError as told:
        print(f"error: {told}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

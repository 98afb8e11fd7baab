"""What NNIE will not take of a model and its data, before anything is written."""

__all__ = ["check_model"]

from collections.abc import Iterator, Mapping
from dataclasses import replace

from quant.common.errors import UnsupportedError
from quant.export.caffe.build import CaffeOptions
from quant.export.caffe.convert import convert, refusals
from quant.export.nnie.check.rules import finding
from quant.export.nnie.check.speed import check_speed, convolving_nodes
from quant.export.nnie.files.feeds import FEWEST, LARGEST, MOST, SMALLEST
from quant.export.nnie.graph.split import Split, divide
from quant.graph.prepared_graph import Graph
from quant.target.deployment import Deployment, sample_shapes
from quant.target.finding import Finding

TENSORS = "Give pictures of that, or go on: the input is then fed as float tensors."


def check_model(graph: Graph, deployment: Deployment) -> list[Finding]:
    """Return what of a prepared graph and its data the mapper refuses, or takes badly.

    With `deployment.allow_fallback` a layer that NNIE cannot compute is a warning that says where
    the host computes it: behind NNIE, from tail.onnx, or in between, as a Custom layer.

    Raises:
        InputError: A sample's shape is not the model's.
    """
    shapes = sample_shapes(graph, deployment)
    known = {name: shape for name, shape in shapes.items() if all(shape)}
    found = list(refusals(graph, known))
    if deployment.allow_fallback and found:
        split = divide(graph, known, fallback=True)
        mend = "It is cut off: the CPU computes it from tail.onnx."
        if split.tail is None:
            mend = "It becomes a Custom layer: the CPU computes it between two runs of NNIE."
        found = [_allowed(one, mend) for one in found]
        found += _left(split, known)
    if deployment.samples is None:
        saw, wanted = "no calibration samples", f"{FEWEST} to {MOST}, for the mapper calibrates"
        found.append(finding(28, "warning", "the data", saw, wanted, "Give --data."))
    for name, shape in shapes.items():
        found += _input(graph, deployment, name, shape)
    return [*found, *check_speed("the model", convolving_nodes(graph), whole=False)]


def _left(split: Split, sizes: Mapping[str, tuple[int, ...]]) -> list[Finding]:
    """Try the conversion of what stays: a blob beside a Custom layer has limits too."""
    try:
        convert(
            split.head, CaffeOptions(sizes=sizes if split.tail is None else {}, custom=split.custom)
        )
    except UnsupportedError as error:
        saw = "a rest, beside what falls back, that does not convert"
        return [finding(10, "error", "the model", saw, "a form in NNIE's Caffe", str(error))]
    return []


def _allowed(one: Finding, mend: str) -> Finding:
    cut = one.severity == "error" and one.layer is not None
    return replace(one, severity="warning", mend=mend) if cut else one


def _input(
    graph: Graph, deployment: Deployment, name: str, shape: tuple[int, ...]
) -> Iterator[Finding]:
    """Rule 3: can pictures go in?"""
    if deployment.preprocess is None or len(shape) != 3:
        return
    place = f"input '{name}'"
    if deployment.preprocess.layout == "NHWC":
        shape = (shape[2], *shape[:2])
        if not _planar(graph, name):
            saw, wanted = "layout NHWC", "NCHW, or a Transpose 0,3,1,2 right behind the input"
            mend = "Export the model with its channels first."
            yield finding(3, "error", place, saw, wanted, mend)
    if shape[0] not in (0, 1, 3):
        saw, wanted = f"{shape[0]} channels", "1 or 3, to feed pictures"
        yield finding(3, "warning", place, saw, wanted, TENSORS)
    if not all(SMALLEST <= d <= LARGEST for d in shape[1:] if d):
        saw = f"{shape[1]} rows and {shape[2]} columns"
        wanted = f"{SMALLEST} to {LARGEST}, to feed pictures"
        yield finding(3, "warning", place, saw, wanted, TENSORS)


def _planar(graph: Graph, name: str) -> bool:
    """Return whether all that reads an input brings its channels to the front."""
    readers = [use.node for use in graph.values[name].uses()]
    return all(
        node.op_type == "Transpose" and list(node.attributes.get_ints("perm", [])) == [0, 3, 1, 2]
        for node in readers
    )

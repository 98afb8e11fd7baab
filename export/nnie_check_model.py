"""What NNIE will not take of a model and its data, before anything is written."""

__all__ = ["check_model"]

from collections.abc import Iterator
from dataclasses import replace

from quant.deploy import Deployment
from quant.export.caffe import refusals
from quant.export.nnie_check_speed import check_speed, convolving_nodes
from quant.export.nnie_feeds import FEWEST, LARGEST, MOST, SMALLEST, shapes_of
from quant.export.nnie_rules import finding
from quant.finding import Finding
from quant.graph import Graph


def check_model(graph: Graph, deployment: Deployment) -> list[Finding]:
    """Return what of a prepared graph and its data the mapper refuses, or takes badly.

    With `deployment.allow_fallback` a layer that NNIE cannot compute is a warning: the network is
    cut before it, and the CPU goes on.
    """
    shapes = shapes_of(graph, deployment)
    found = [_cut(one) if deployment.allow_fallback else one for one in refusals(graph, shapes)]
    if deployment.samples is None:
        saw, mend = "no calibration samples", "Give --data."
        wanted = f"{FEWEST} to {MOST}: the mapper calibrates by itself"
        found.append(finding(28, "warning", "the data", saw, wanted, mend))
    for name, shape in shapes.items():
        found += _input(graph, deployment, name, shape)
    return [*found, *check_speed("the model", convolving_nodes(graph), whole=False)]


def _cut(one: Finding) -> Finding:
    mend = "It is cut to the CPU: tail.onnx goes on from there."
    return replace(one, severity="warning", mend=mend) if one.severity == "error" else one


def _input(
    graph: Graph, deployment: Deployment, name: str, shape: tuple[int, ...]
) -> Iterator[Finding]:
    """Rule 3: can pictures go in?"""
    place = f"input '{name}'"
    if deployment.preprocess is None or len(shape) not in (0, 3):
        return
    if deployment.preprocess.layout == "NHWC":
        saw, mend = "layout NHWC", "Export the model with its channels first."
        yield finding(3, "error", place, saw, "NCHW, the only one that Caffe has", mend)
        return
    tensors = "It is fed as float tensors; resize or convert the model to feed pictures."
    if shape and shape[0] not in (1, 3):
        saw, wanted = f"{shape[0]} channels", "1 or 3, to feed pictures"
        yield finding(3, "warning", place, saw, wanted, tensors)
    if shape and not all(SMALLEST <= d <= LARGEST for d in shape[1:] if d):
        saw = f"{shape[1]} rows and {shape[2]} columns"
        wanted = f"{SMALLEST} to {LARGEST}, to feed pictures"
        yield finding(3, "warning", place, saw, wanted, tensors)

"""Check a model and its data before anything is written."""

__all__ = ["check_model"]

from collections.abc import Iterator, Mapping
from dataclasses import replace

from quant.common.errors import UnsupportedError
from quant.export.caffe.build import CaffeOptions
from quant.export.caffe.convert import convert, refusals
from quant.export.nnie.check.rules import finding
from quant.export.nnie.check.speed import check_speed, convolving_nodes
from quant.export.nnie.files.feeds import MAX_SAMPLES, MAX_SIDE, MIN_SAMPLES, MIN_SIDE
from quant.export.nnie.graph.split import Split, split_graph
from quant.graph.prepared_graph import Graph
from quant.target.deployment import Deployment, sample_shapes
from quant.target.finding import Finding

TENSORS = "Give pictures of that, or go on: the input is then fed as float tensors."


def check_model(graph: Graph, deployment: Deployment) -> list[Finding]:
    """Return the findings on a prepared graph and its data: refusals, and warnings.

    With `deployment.allow_fallback` a layer that NNIE cannot compute gives a warning, which says
    where the host computes it: behind NNIE, from tail.onnx, or in between, as a Custom layer.

    Raises:
        InputError: A sample's shape is not the model's.
    """
    shapes = sample_shapes(graph, deployment)
    sizes = {name: shape for name, shape in shapes.items() if all(shape)}
    findings = list(refusals(graph, sizes))
    if deployment.allow_fallback and findings:
        split = split_graph(graph, sizes, fallback=True)
        mend = "It is cut off: the CPU computes it from tail.onnx."
        if split.tail is None:
            mend = "It becomes a Custom layer: the CPU computes it between two runs of NNIE."
        findings = [_as_warning(refused, mend) for refused in findings]
        findings += _head_findings(split, sizes)
    if deployment.samples is None:
        saw, wanted = (
            "no calibration samples",
            f"{MIN_SAMPLES} to {MAX_SAMPLES}, for the mapper calibrates",
        )
        findings.append(
            finding(28, "warning", "the data", saw=saw, wanted=wanted, mend="Give --data.")
        )
    for name, shape in shapes.items():
        findings += _input(graph, deployment, name, shape)
    return [*findings, *check_speed("the model", convolving_nodes(graph), all_high=False)]


def _head_findings(split: Split, sizes: Mapping[str, tuple[int, ...]]) -> list[Finding]:
    """Convert the head, since blobs beside Custom layers have limits too; return what fails."""
    try:
        convert(
            split.head, CaffeOptions(sizes=sizes if split.tail is None else {}, custom=split.custom)
        )
    except UnsupportedError as error:
        saw = "a remaining part, beside the nodes that fall back, that cannot be converted"
        return [
            finding(
                10, "error", "the model", saw=saw, wanted="a form in NNIE's Caffe", mend=str(error)
            )
        ]
    return []


def _as_warning(refused: Finding, mend: str) -> Finding:
    cut = refused.severity == "error" and refused.layer is not None
    return replace(refused, severity="warning", mend=mend) if cut else refused


def _input(
    graph: Graph, deployment: Deployment, name: str, shape: tuple[int, ...]
) -> Iterator[Finding]:
    """Yield the findings of rule 3: whether an input can take pictures."""
    if deployment.preprocess is None or len(shape) != 3:
        return
    place = f"input '{name}'"
    if deployment.preprocess.layout == "NHWC":
        shape = (shape[2], *shape[:2])
        if not _is_planar(graph, name):
            saw, wanted = "layout NHWC", "NCHW, or a Transpose 0,3,1,2 right behind the input"
            mend = "Export the model with its channels first."
            yield finding(3, "error", place, saw=saw, wanted=wanted, mend=mend)
    if shape[0] not in (0, 1, 3):
        saw, wanted = f"{shape[0]} channels", "1 or 3, to feed pictures"
        yield finding(3, "warning", place, saw=saw, wanted=wanted, mend=TENSORS)
    if not all(MIN_SIDE <= d <= MAX_SIDE for d in shape[1:] if d):
        saw = f"{shape[1]} rows and {shape[2]} columns"
        wanted = f"{MIN_SIDE} to {MAX_SIDE}, to feed pictures"
        yield finding(3, "warning", place, saw=saw, wanted=wanted, mend=TENSORS)


def _is_planar(graph: Graph, name: str) -> bool:
    """Return whether every reader of an input brings its channels to the front."""
    readers = [use.node for use in graph.values[name].uses()]
    return all(
        node.op_type == "Transpose" and list(node.attributes.get_ints("perm", [])) == [0, 3, 1, 2]
        for node in readers
    )

"""Rules 11 (depthwise) and 30: what NNIE computes, but slowly or coarsely."""

__all__ = ["Convolving", "check_speed", "convolving_layers", "convolving_nodes"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from quant.common.errors import few
from quant.export.caffe.network.shapes import Shape
from quant.export.nnie.check.rules import finding
from quant.export.nnie.graph.mapper_net import Net
from quant.graph.prepared_graph import Graph
from quant.target.finding import Finding

PARALLEL = 16
"""Groups of a convolution that NNIE computes at a time: public notes."""
FOURS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolving:
    """A convolution as NNIE spends time on it; 0 for a length that is not known."""

    name: str
    inputs: int
    outputs: int
    group: int
    width: int
    high: bool

    @property
    def depthwise(self) -> bool:
        """Whether every channel is a group of its own."""
        return self.group > 1 and self.group == self.inputs


def convolving_layers(net: Net) -> list[Convolving]:
    """Return the convolutions of a Caffe network."""
    found = []
    for site in net.of("Convolution", "DepthwiseConv"):
        bottom = _four(site.bottoms[0] if site.bottoms else None)
        top = _four(site.tops[0] if site.tops else None)
        param = site.layer.convolution_param
        found.append(
            Convolving(
                name=site.name,
                inputs=bottom[1],
                outputs=int(param.num_output),
                group=bottom[1] if site.type == "DepthwiseConv" else int(param.group),
                width=top[3],
                high=site.high,
            )
        )
    return found


def convolving_nodes(graph: Graph, high: frozenset[str] = frozenset()) -> list[Convolving]:
    """Return the convolutions of a graph; `high` are the nodes in 16 bit."""
    found = []
    for node in graph.nodes:
        weight = node.inputs[1] if len(node.inputs) > 1 else None
        if node.op_type != "Conv" or node.domain not in ("", "ai.onnx") or weight is None:
            continue
        group = node.attributes.get_int("group", 1)
        dims = _four(_known(weight))
        found.append(
            Convolving(
                name=str(node.name),
                inputs=dims[1] * group,
                outputs=dims[0],
                group=group,
                width=_four(_known(node.outputs[0]))[3],
                high=str(node.name) in high,
            )
        )
    return found


def _known(value: ir.Value) -> Shape | None:
    dims = list(value.shape) if value.shape is not None else []
    return tuple(d if isinstance(d, int) else 0 for d in dims) or None


def _four(shape: Shape | None) -> tuple[int, int, int, int]:
    if shape is None or len(shape) != 4:
        return 0, 0, 0, 0
    return shape[0], shape[1], shape[2], shape[3]


def check_speed(
    place: str, found: Sequence[Convolving], whole: bool, nodes: Mapping[str, str] | None = None
) -> list[Finding]:
    """Return the warnings of rule 11 and rule 30.

    Args:
        place: The file, or "the model": rule 30 speaks of all its layers at once.
        found: The convolutions.
        whole: Everything is in 16 bit, so that no layer needs a mark.
        nodes: The graph's node of each layer, for `Finding.layer`; None: the names are nodes.
    """
    told: list[Finding] = []
    for one in found:
        if one.depthwise and not one.high and not whole:
            saw = f"a depthwise convolution of {one.inputs} channels in 8 bit"
            wanted = "16 bit, for every channel has a range of its own"
            mend = "Plan it int16, or name it with '_hp' and compile_mode 2."
            layer = one.name if nodes is None else nodes.get(one.name)
            told.append(finding(11, "warning", f"layer '{one.name}'", saw, wanted, mend, layer))
    questions: list[tuple[str, Callable[[Convolving], int], int]] = [
        ("input channels", lambda c: 0 if c.depthwise else c.inputs, PARALLEL),
        ("output channels", lambda c: c.outputs, FOURS),
        ("an output width", lambda c: c.width, PARALLEL),
    ]
    for what, number, step in questions:
        odd = [one for one in found if number(one) % step]
        if odd:
            names = few(f"{one.name}: {number(one)}" for one in odd)
            saw = f"{what} not a multiple of {step} in {len(odd)} of {len(found)} convolutions"
            wanted, mend = f"multiples of {step}", "Only speed suffers; widen what you can."
            told.append(finding(30, "warning", place, f"{saw}: {names}", wanted, mend))
    return told

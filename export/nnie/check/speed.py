"""Check for convolutions that are slow or coarse on NNIE: rules 11 (depthwise) and 30."""

__all__ = ["Convolution", "check_speed", "convolving_layers", "convolving_nodes"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from quant.common.errors import few
from quant.export.caffe.network.shapes import Shape
from quant.export.nnie.check.rules import finding
from quant.export.nnie.graph.mapper_net import MapperNet
from quant.graph.prepared_graph import Graph
from quant.target.finding import Finding

PARALLEL = 16
"""Groups of a convolution that NNIE computes at a time: public notes."""
FOURS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """The numbers of a convolution that its time depends on; 0 for an unknown length."""

    name: str
    inputs: int
    outputs: int
    group: int
    width: int
    high: bool

    @property
    def depthwise(self) -> bool:
        """Whether every input channel is a group."""
        return self.group > 1 and self.group == self.inputs


def convolving_layers(net: MapperNet) -> list[Convolution]:
    """Return the convolutions of a Caffe network."""
    convolutions = []
    for layer in net.of_type("Convolution", "DepthwiseConv"):
        bottom = _four_lengths(layer.bottoms[0] if layer.bottoms else None)
        top = _four_lengths(layer.tops[0] if layer.tops else None)
        param = layer.proto.convolution_param
        convolutions.append(
            Convolution(
                name=layer.name,
                inputs=bottom[1],
                outputs=int(param.num_output),
                group=bottom[1] if layer.type == "DepthwiseConv" else int(param.group),
                width=top[3],
                high=layer.high,
            )
        )
    return convolutions


def convolving_nodes(graph: Graph, high: frozenset[str] = frozenset()) -> list[Convolution]:
    """Return the convolutions of a graph; `high` are the nodes in 16 bit."""
    convolutions = []
    for node in graph.nodes:
        weight = node.inputs[1] if len(node.inputs) > 1 else None
        if node.op_type != "Conv" or node.domain not in ("", "ai.onnx") or weight is None:
            continue
        group = node.attributes.get_int("group", 1)
        dims = _four_lengths(_fixed_shape(weight))
        convolutions.append(
            Convolution(
                name=str(node.name),
                inputs=dims[1] * group,
                outputs=dims[0],
                group=group,
                width=_four_lengths(_fixed_shape(node.outputs[0]))[3],
                high=str(node.name) in high,
            )
        )
    return convolutions


def _fixed_shape(value: ir.Value) -> Shape | None:
    dims = list(value.shape) if value.shape is not None else []
    return tuple(d if isinstance(d, int) else 0 for d in dims) or None


def _four_lengths(shape: Shape | None) -> tuple[int, int, int, int]:
    if shape is None or len(shape) != 4:
        return 0, 0, 0, 0
    return shape[0], shape[1], shape[2], shape[3]


def check_speed(
    place: str,
    convolutions: Sequence[Convolution],
    all_high: bool,
    nodes: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Return the warnings of rule 11 and rule 30.

    Args:
        place: The file, or "the model": one finding of rule 30 is about all its layers.
        convolutions: The convolutions.
        all_high: Every layer is in 16 bit, so that no layer needs a suffix.
        nodes: The graph's node of each layer, for `Finding.layer`; None: the names are nodes.
    """
    findings: list[Finding] = []
    for convolution in convolutions:
        if convolution.depthwise and not convolution.high and not all_high:
            saw = f"a depthwise convolution of {convolution.inputs} channels in 8 bit"
            wanted = "16 bit, for every channel has a range of its own"
            mend = "Give it precision = 'int16' in the recipe, or end its name in '_hp' with compile_mode 2."
            layer = convolution.name if nodes is None else nodes.get(convolution.name)
            findings.append(
                finding(
                    11,
                    "warning",
                    f"layer '{convolution.name}'",
                    saw=saw,
                    wanted=wanted,
                    mend=mend,
                    layer=layer,
                )
            )
    questions: list[tuple[str, Callable[[Convolution], int], int]] = [
        ("input channels", lambda c: 0 if c.depthwise else c.inputs, PARALLEL),
        ("output channels", lambda c: c.outputs, FOURS),
        ("an output width", lambda c: c.width, PARALLEL),
    ]
    for measure, number, step in questions:
        odd = [convolution for convolution in convolutions if number(convolution) % step]
        if odd:
            names = few(f"{convolution.name}: {number(convolution)}" for convolution in odd)
            saw = f"{measure} not a multiple of {step} in {len(odd)} of {len(convolutions)} convolutions"
            wanted, mend = f"multiples of {step}", "Only speed suffers; widen what you can."
            findings.append(
                finding(30, "warning", place, saw=f"{saw}: {names}", wanted=wanted, mend=mend)
            )
    return findings

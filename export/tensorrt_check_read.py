"""How TensorRT walks a Q/DQ graph: what is constant, what a quantizer feeds, what fuses with what."""

__all__ = [
    "EPILOGUES",
    "MOVED",
    "Network",
    "Rule",
    "channels",
    "constant",
    "dequantizer",
    "finding",
    "is_quantizer",
    "kernel",
    "label",
    "maker",
    "plain",
    "readers",
    "rooted",
    "weight_source",
]

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.finding import Finding, Severity
from quant.graph import WEIGHTED
from quant.layers import ABSORBED, VIEWS

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
EPILOGUES = ABSORBED | {"BatchNormalization"}
"""What TensorRT computes inside the convolution before it."""
MOVED = VIEWS | {"MaxPool"}
"""Operators past which TensorRT moves a quantizer: the integers pass unchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A Q/DQ graph with inferred types, and the major version of TensorRT that shall read it."""

    model: ir.Model
    version: int

    @property
    def nodes(self) -> list[ir.Node]:
        """Nodes of the main graph, in the order of the file."""
        return list(self.model.graph)

    @property
    def quantizers(self) -> list[ir.Node]:
        """Its QuantizeLinear and DequantizeLinear nodes."""
        return [n for n in self.nodes if is_quantizer(n)]

    def ops(self, *types: str) -> list[ir.Node]:
        """Return the nodes of these standard operators."""
        return [n for n in self.nodes if plain(n) and n.op_type in types]


Rule: TypeAlias = Callable[[Network], Iterator[Finding]]


def finding(
    number: int,
    severity: Severity,
    place: str | ir.Node,
    saw: str,
    wanted: str,
    mend: str,
) -> Finding:
    """Return a finding of TensorRT's rule `number`; a node as place also names its layer."""
    layer = None
    if isinstance(place, ir.Node):
        layer, place = _layer(place), label(place)
    return Finding(
        rule=f"tensorrt-{number}",
        severity=severity,
        place=place,
        saw=saw,
        wanted=wanted,
        mend=mend,
        layer=layer,
    )


def label(thing: ir.Node | ir.Value) -> str:
    r"""Return "node 'x'" or "tensor 'x'" on one line; a node without name is told by its output."""
    name = thing.name or ""
    what = "node" if isinstance(thing, ir.Node) else "tensor"
    if isinstance(thing, ir.Node) and not name:
        what = "node without a name that makes"
        name = next((v.name for v in thing.outputs if v.name), "")
    return f"{what} '{name.encode('unicode_escape').decode() if not name.isprintable() else name}'"


def _layer(node: ir.Node) -> str | None:
    """Return the layer a node belongs to: of a quantizer the first one that reads its numbers."""
    while is_quantizer(node):
        uses = readers(node.outputs[0])
        if not uses:
            return None
        node = uses[0][0]
    return node.name or None


def plain(node: ir.Node) -> bool:
    """Tell whether a node is of the standard operator set."""
    return node.domain in ("", "ai.onnx")


def is_quantizer(node: ir.Node | None, op: str | None = None) -> bool:
    """Tell whether a node is a QuantizeLinear or DequantizeLinear, or just the one of type `op`."""
    wanted = QUANTIZERS if op is None else (op,)
    return node is not None and plain(node) and node.op_type in wanted


def maker(value: ir.Value | None) -> ir.Node | None:
    """Return the node that makes a value, or None."""
    return value.producer() if value is not None else None


def readers(value: ir.Value) -> list[tuple[ir.Node, int]]:
    """Return who reads a value, and at which input."""
    return [(use.node, use.idx) for use in value.uses()]


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """Return the numbers of an initializer, a Constant, or a Cast of one; None for what is computed."""
    if value is None:
        return None
    node = value.producer()
    if node is not None and plain(node) and node.op_type == "Cast":
        value = node.inputs[0]
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return np.asarray(tensor.numpy()) if tensor is not None else None


def rooted(value: ir.Value | None) -> bool:
    """Tell whether a value is a constant, also behind quantizers, casts and views."""
    while value is not None:
        node = value.producer()
        if node is None:
            return value.is_initializer()
        if not plain(node) or node.op_type not in {*QUANTIZERS, "Cast", "Constant", *VIEWS}:
            return False
        if node.op_type == "Constant":
            return True
        value = node.inputs[0]
    return False


def dequantizer(value: ir.Value | None) -> ir.Node | None:
    """Return the DequantizeLinear whose numbers a value holds, past views and MaxPool, or None."""
    node = maker(value)
    while node is not None and plain(node) and node.op_type in MOVED:
        node = maker(node.inputs[0])
    return node if is_quantizer(node, "DequantizeLinear") else None


def weight_source(node: ir.Node) -> ir.Value | None:
    """Return the constant behind input 1 of a weighted node: float, or already integers."""
    if node.op_type not in WEIGHTED or not plain(node) or len(node.inputs) < 2:
        return None
    value = node.inputs[1]
    if not rooted(value):
        return None
    while value is not None and (made := value.producer()) is not None and made.inputs:
        value = made.inputs[0]
    return value


def kernel(node: ir.Node) -> list[int]:
    """Return the shape of a weighted node's constant weight; [] where it is not known."""
    source = weight_source(node)
    tensor = ir.convenience.get_const_tensor(source) if source is not None else None
    return [int(d) for d in tensor.shape.numpy()] if tensor is not None else []


def channels(node: ir.Node) -> tuple[int, int]:
    """Return (out, in per group) of a Conv, or (N, K) of a Gemm or MatMul; (0, 0) if not known."""
    shape = kernel(node)
    if len(shape) < 2:
        return 0, 0
    if node.op_type == "Conv":
        return shape[0], shape[1]
    if node.op_type == "ConvTranspose":
        return shape[1], shape[0]
    if node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1:
        return shape[0], shape[1]
    return shape[-1], shape[-2]

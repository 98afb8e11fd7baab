"""What the rules about TensorRT's Q/DQ graphs speak of: a network, its quantizers, and findings."""

__all__ = [
    "QUANTIZERS",
    "Network",
    "Rule",
    "finding",
    "is_quantizer",
    "label",
    "maker",
    "operand",
    "plain",
    "readers",
    "shape_of",
]

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import onnx_ir as ir

from quant.target.finding import Finding, Severity

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


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
        """Its QuantizeLinear and DequantizeLinear nodes, those without a scale left out."""
        found = [n for n in self.ops(*QUANTIZERS) if len(n.inputs) > 1]
        return [n for n in found if n.inputs[0] is not None and n.inputs[1] is not None]

    def ops(self, *types: str) -> list[ir.Node]:
        """Return the nodes of these standard operators that have an input and an output."""
        found = [n for n in self.nodes if plain(n) and n.op_type in types]
        return [n for n in found if n.inputs and n.outputs]


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


def operand(node: ir.Node | None, index: int) -> ir.Value | None:
    """Return an input of a node, or None where there is no such node, or no such input."""
    return node.inputs[index] if node is not None and index < len(node.inputs) else None


def shape_of(value: ir.Value | None) -> list[int | ir.SymbolicDim] | None:
    """Return a value's inferred shape, or None."""
    return list(value.shape) if value is not None and value.shape is not None else None


def readers(value: ir.Value) -> list[tuple[ir.Node, int]]:
    """Return who reads a value, and at which input."""
    return [(use.node, use.idx) for use in value.uses()]

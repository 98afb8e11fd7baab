"""The Q/DQ graph that TensorRT's rules check, and the findings about it."""

__all__ = ["Network", "Rule", "finding"]

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import onnx_ir as ir

from quant.export.qdq.nodes import QUANTIZERS, is_quantizer, is_standard, place_of, readers
from quant.export.tensorrt.check.rules import RULES
from quant.target.finding import Finding, Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A Q/DQ graph with inferred types, and the major version of TensorRT that reads it."""

    model: ir.Model
    version: int

    @property
    def nodes(self) -> list[ir.Node]:
        """Nodes of the main graph, in the order of the file."""
        return list(self.model.graph)

    @property
    def quantizers(self) -> list[ir.Node]:
        """Its QuantizeLinear and DequantizeLinear nodes, without those that lack a scale."""
        candidates = [n for n in self.ops(*QUANTIZERS) if len(n.inputs) > 1]
        return [n for n in candidates if n.inputs[0] is not None and n.inputs[1] is not None]

    def ops(self, *types: str) -> list[ir.Node]:
        """Return the nodes of these standard operators that have an input and an output."""
        named = [n for n in self.nodes if is_standard(n) and n.op_type in types]
        return [n for n in named if n.inputs and n.outputs]


Rule: TypeAlias = Callable[[Network], Iterator[Finding]]


def _layer_of(node: ir.Node) -> str | None:
    """Return the layer of a node; a quantizer's layer is the first one that reads its numbers."""
    while is_quantizer(node):
        uses = readers(node.outputs[0])
        if not uses:
            return None
        node = uses[0][0]
    return node.name or None


def _located(node: ir.Node) -> tuple[str, str | None]:
    """Return a node's place and its layer."""
    return place_of(node), _layer_of(node)


finding = Rules("tensorrt", RULES, _located).finding
"""A finding of a rule of TensorRT: see `Rules.finding`."""

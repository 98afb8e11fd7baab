"""What of a graph NNIE computes, and what is left to the host."""

__all__ = ["Split", "divide", "refused_nodes"]

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from quant.export.caffe.convert import refusals
from quant.export.caffe.cut import cut_tail
from quant.graph.prepared_graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A graph in two.

    Attributes:
        head: What becomes the Caffe network.
        custom: Nodes of it that become Custom layers, which the host computes in between.
        tail: What the host computes behind it; None where there is nothing.
    """

    head: Graph
    custom: frozenset[str] = frozenset()
    tail: ir.Model | None = None


def divide(graph: Graph, sizes: Mapping[str, tuple[int, ...]], fallback: bool) -> Split:
    """Return the graph split in front of what NNIE cannot compute; whole without `fallback`.

    What cannot be cut off, for layers with weights come behind it, becomes Custom layers.
    """
    refused = refused_nodes(graph, sizes) if fallback else frozenset[str]()
    if not refused:
        return Split(head=graph)
    cut = cut_tail(graph, refused, sizes)
    if cut is None:
        return Split(head=graph, custom=refused)
    head, tail = cut
    return Split(head=head, tail=tail)


def refused_nodes(graph: Graph, sizes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
    """Return the nodes that have no form in NNIE's Caffe."""
    found = refusals(graph, sizes)
    return frozenset(f.layer for f in found if f.severity == "error" and f.layer is not None)

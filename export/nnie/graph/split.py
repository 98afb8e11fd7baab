"""Split a graph into the part for NNIE and the part for the host's CPU."""

__all__ = ["Split", "refused_nodes", "split_graph"]

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from quant.export.caffe.convert import refusals
from quant.export.caffe.cut import cut_tail
from quant.graph.prepared_graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The parts of a graph.

    Attributes:
        head: The graph that becomes the Caffe network.
        custom: Its nodes that become Custom layers, which the host computes in between.
        tail: The graph that the host computes behind it, or None.
    """

    head: Graph
    custom: frozenset[str] = frozenset()
    tail: ir.Model | None = None


def split_graph(graph: Graph, sizes: Mapping[str, tuple[int, ...]], fallback: bool) -> Split:
    """Return the graph split before the nodes that NNIE cannot compute; unsplit without `fallback`.

    Where layers with weights follow, nothing can be cut off, and the nodes become Custom layers.
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
    findings = refusals(graph, sizes)
    return frozenset(f.layer for f in findings if f.severity == "error" and f.layer is not None)

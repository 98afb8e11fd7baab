"""Names of a profiler's rows: which layers of the graph a fused kernel holds."""

__all__ = ["LayerNames"]

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from quant.graph.layers import layers
from quant.graph.prepared_graph import Graph

JOINTS = re.compile(r" \+ | \|\| |, |\(|\)")
"""What stands between the nodes of a fused layer: TensorRT's "a + b", "a || b", "PWN(a, b)"."""
CLEANED = re.compile(r"[,:'*\x00-\x1f\x7f]")
"""What an export for TensorRT replaces by `_` in a node's name."""
COPIES = ("Reformatting CopyNode",)
"""Rows that move a tensor between two layers, and name the layer they move it for."""


@dataclass(frozen=True)
class LayerNames:
    """The layers of a graph by every name that a row may have."""

    graph: Graph

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in topological order."""
        return tuple(x.name for x in layers(self.graph))

    @cached_property
    def _by_node(self) -> dict[str, str]:
        """The layer by node name: its own, or that of the activation it absorbed."""
        found: dict[str, str] = {}
        for layer in layers(self.graph):
            found[layer.name] = layer.name
            if layer.activation is not None:
                found[str(layer.activation.name)] = layer.name
        for name, layer_name in list(found.items()):
            found.setdefault(CLEANED.sub("_", name), layer_name)
        return found

    def of(self, row: str) -> list[str]:
        """Return the layers that a row is about, in topological order; [] for none.

        The name of a node, names joined as TensorRT joins what it fuses, or names put together
        without a joint, as Ascend's compiler does ("conv1relu1"). Parts that are no node of the
        graph (quantizers of a weight) are passed over.
        """
        if row in self._by_node:
            return [self._by_node[row]]
        if row.startswith(COPIES):
            return []
        parts = [p for p in JOINTS.split(row) if p]
        found = {self._by_node[p] for p in parts if p in self._by_node}
        found = found or set(self._together(row))
        return [name for name in self.layers if name in found]

    def _together(self, row: str) -> list[str]:
        """Return the layers whose names, one behind the other, are the whole row."""
        ends: dict[int, list[str]] = {0: []}
        for start in range(len(row)):
            if start not in ends:
                continue
            for name in self._starting(row, start):
                ends.setdefault(start + len(name), [*ends[start], self._by_node[name]])
        return ends.get(len(row), [])

    def _starting(self, row: str, start: int) -> Iterator[str]:
        for length in self._lengths:
            if (part := row[start : start + length]) in self._by_node and len(part) == length:
                yield part

    @cached_property
    def _lengths(self) -> list[int]:
        """The lengths of names, longest first."""
        return sorted({len(name) for name in self._by_node if name}, reverse=True)

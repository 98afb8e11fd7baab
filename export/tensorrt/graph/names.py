"""Rename nodes and tensors for TensorRT's tools: trtexec's lists break at , : ' and expand *."""

__all__ = ["BAD_NODE", "BAD_TENSOR", "Renamed", "clean_names"]

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from re import Pattern

import onnx_ir as ir

BAD_NODE = re.compile(r"[,:'\x00-\x1f\x7f]")
"""Characters that break trtexec's lists in a layer's name."""
BAD_TENSOR = re.compile(r": |[\x00-\x1f\x7f]|^\s|\s$|:$|^$")
"""Characters that break readers of calibration caches in a tensor's name: they split at ': '."""
REPLACED_IN_NODE = re.compile(rf"{BAD_NODE.pattern}|\*")
REPLACED_IN_TENSOR = re.compile(rf"{BAD_TENSOR.pattern}|[,']")
"""What an export replaces, too: `*` matches any name, and trtexec's shapes break at , and '."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """Old name to new name, for the renamed nodes and tensors only.

    Attributes:
        nodes: Nodes of the main graph and its subgraphs.
        tensors: Inputs, outputs and inner tensors.
    """

    nodes: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, str] = field(default_factory=dict)


NO_RENAMES = Renamed()


def clean_names(model: ir.Model, decided: Renamed = NO_RENAMES) -> Renamed:
    """Rename, in place, nodes and tensors whose names break TensorRT's lists and caches.

    A breaking character becomes `_`; a name that is taken gets `_1`, `_2`, ... .

    Args:
        model: A model with unique, non-empty node names, as preparation leaves them.
        decided: Names that are already decided: those of the float graph, for its Q/DQ graph.
    """
    nodes = list(model.graph.all_nodes())
    node_names = _new_names([str(n.name) for n in nodes], REPLACED_IN_NODE, decided.nodes)
    for node in nodes:
        node.name = node_names.get(str(node.name), node.name)
    graph = model.graph
    values = [v for v in [*graph.inputs, *(v for n in nodes for v in n.outputs)] if v.name]
    constants = [str(name) for name in graph.initializers]
    tensors = _new_names(
        [*(str(v.name) for v in values), *constants], REPLACED_IN_TENSOR, decided.tensors
    )
    for value in [*values, *graph.initializers.values()]:
        value.name = tensors.get(str(value.name), value.name)
    return Renamed(nodes=node_names, tensors=tensors)


def _new_names(
    names: Iterable[str], bad: Pattern[str], decided: Mapping[str, str]
) -> dict[str, str]:
    """Return a free name for each name that is bad, or that another node or tensor got."""
    all_names = list(dict.fromkeys(names))
    settled = {old: new for old, new in decided.items() if old in all_names}
    taken = set(settled.values())
    taken |= {n for n in all_names if not bad.search(n) and n not in settled and n not in taken}
    renamed = dict(settled)
    for name in all_names:
        if name in settled or not (bad.search(name) or name in settled.values()):
            continue
        stem = bad.sub("_", name) or "_"
        candidate, count = stem, 0
        while candidate in taken:
            count += 1
            candidate = f"{stem}_{count}"
        taken.add(candidate)
        renamed[name] = candidate
    return renamed

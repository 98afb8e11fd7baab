"""Names that TensorRT's tools can hold: the lists of trtexec break at , : ' and take * for any."""

__all__ = ["BAD_NODE", "BAD_TENSOR", "Renamed", "clean_names"]

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from re import Pattern

import onnx_ir as ir

BAD_NODE = re.compile(r"[,:'\x00-\x1f\x7f]")
"""What the lists of trtexec cannot hold in a layer's name."""
BAD_TENSOR = re.compile(r": |[\x00-\x1f\x7f]|^\s|\s$|:$|^$")
"""What readers of calibration caches stumble over in a tensor's name: they split at ': '."""
CLEANED_NODE = re.compile(rf"{BAD_NODE.pattern}|\*")
CLEANED_TENSOR = re.compile(rf"{BAD_TENSOR.pattern}|[,']")
"""What an export replaces besides: `*` stands for any name, and trtexec's shapes break at , and '."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """The new name by the old one, for what was renamed and nothing else.

    Attributes:
        nodes: Of the main graph and its subgraphs.
        tensors: Inputs, outputs and what lies between.
    """

    nodes: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, str] = field(default_factory=dict)


NOTHING = Renamed()


def clean_names(model: ir.Model, first: Renamed = NOTHING) -> Renamed:
    """Rename in place what TensorRT's lists and caches cannot hold, and return what was renamed.

    A character that breaks them becomes `_`; a name that is taken gets `_1`, `_2`, ... .

    Args:
        model: Its node names are unique and not empty, as preparation leaves them.
        first: Names that are decided already: those of the float graph, for its Q/DQ twin.
    """
    nodes = list(model.graph.all_nodes())
    new = _decide([str(n.name) for n in nodes], CLEANED_NODE, first.nodes)
    for node in nodes:
        node.name = new.get(str(node.name), node.name)
    graph = model.graph
    values = [v for v in [*graph.inputs, *(v for n in nodes for v in n.outputs)] if v.name]
    held = [str(name) for name in graph.initializers]
    tensors = _decide([*(str(v.name) for v in values), *held], CLEANED_TENSOR, first.tensors)
    for value in [*values, *graph.initializers.values()]:
        value.name = tensors.get(str(value.name), value.name)
    return Renamed(nodes=new, tensors=tensors)


def _decide(names: Iterable[str], bad: Pattern[str], first: Mapping[str, str]) -> dict[str, str]:
    """Return a free name for each that is bad, or that another one has taken over."""
    every = list(dict.fromkeys(names))
    given = {old: new for old, new in first.items() if old in every}
    taken = set(given.values())
    taken |= {n for n in every if not bad.search(n) and n not in given and n not in taken}
    new = dict(given)
    for name in every:
        if name in given or not (bad.search(name) or name in given.values()):
            continue
        stem = bad.sub("_", name) or "_"
        free, count = stem, 0
        while free in taken:
            count += 1
            free = f"{stem}_{count}"
        taken.add(free)
        new[name] = free
    return new

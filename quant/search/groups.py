"""Groups: layers that change their precision together.

A quantizer between two layers that one kernel could have served costs more than it saves. So an
operator without weight is in the group of what feeds it: the convolutions before one Concat or one
residual Add are together, and a pooling belongs to the chain that it ends.
"""

__all__ = ["Group", "SharedTensor", "groups_of", "merged", "shared_tensors"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from quant.choose.precisions import producing_layers
from quant.graph.layer import Layer
from quant.graph.layers import connected, macs
from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.tensor_plans import LayerPlan, Plan
from quant.target.table import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Layers of one precision.

    Attributes:
        name: That of its first layer with a weight, or of its first layer.
        layers: Node names in topological order.
        macs: Multiply-accumulates of one sample.
    """

    name: str
    layers: tuple[str, ...]
    macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTensor:
    """A tensor that is quantized where it is made, for all that read it, and its views.

    Attributes:
        tensors: Its name, and those of its views: quantizing one of them or all is the same.
        groups: Numbers of the groups of which each alone has it quantized.
    """

    tensors: tuple[str, ...]
    groups: tuple[int, ...]


def shared_tensors(
    graph: Graph, target: Target, groups: Sequence[Group], plans: Sequence[Plan]
) -> list[SharedTensor]:
    """Return the tensors that are not one group's own affair, in topological order.

    They are those which several groups have quantized, or that others read beside the group that
    has them quantized. There are none where a chip quantizes a tensor for each reader apart.

    Args:
        graph: The prepared graph.
        target: The table.
        groups: The groups.
        plans: One for each precision, all groups having it.
    """
    if target.quantize_at != "producer":
        return []
    inside = {name: g for g, group in enumerate(groups) for name in group.layers}
    layers = graph.layers
    makers = producing_layers(layers)
    readers: dict[str, list[str]] = {}
    for layer in layers:
        for value in layer.data:
            readers.setdefault(str(value.name), []).append(layer.name)
    common = {t.tensor for plan in plans for t in plan.quantized if t.readers is None}
    source: dict[str, str] = {}
    views: dict[str, list[str]] = {}
    causes: dict[str, set[int]] = {}
    outside: set[str] = set()
    for name in graph.activations:
        if name not in common:
            continue
        maker = makers.get(name)
        first = source.get(str(maker.data[0].name)) if _views(maker, target) else None
        source[name] = root = first or name
        views.setdefault(root, []).append(name)
        writes = maker is not None and (
            weight_of(maker.node) is None or maker.op in target.integer_output_ops
        )
        touched = [inside.get(x) for x in readers.get(name, [])]
        outside |= {root} if None in touched else set()
        touched += [inside.get(maker.name)] if writes and maker is not None else []
        causes.setdefault(root, set()).update(g for g in touched if g is not None)
    return [
        SharedTensor(tensors=tuple(views[root]), groups=tuple(sorted(causes[root])))
        for root in views
        if causes[root] and (len(causes[root]) > 1 or root in outside)
    ]


def _views(maker: Layer | None, target: Target) -> TypeGuard[Layer]:
    """Return whether a layer only passes on the numbers of its first input."""
    return maker is not None and maker.op in target.passthrough_ops and len(maker.data) > 0


def groups_of(graph: Graph, plans: Mapping[str, LayerPlan]) -> list[Group]:
    """Return the groups in topological order of their first layers.

    Args:
        graph: The prepared graph.
        plans: Each layer's precision where all that may be quantized is; what is float here, or is
            not here at all, is in no group.
    """
    layers = [x for x in graph.layers if x.name in plans and plans[x.name].quantized]
    makers = producing_layers(layers)
    pairs = [
        (layer.name, makers[str(value.name)].name)
        for layer in layers
        if weight_of(layer.node) is None
        for value in layer.data
        if str(value.name) in makers
    ]
    by_name = {layer.name: layer for layer in layers}
    sets = connected(by_name, pairs)
    return [_group([by_name[name] for name in members]) for members in sets]


def _group(members: Sequence[Layer]) -> Group:
    first = next((x for x in members if weight_of(x.node) is not None), members[0])
    return Group(
        name=first.name, layers=tuple(x.name for x in members), macs=sum(macs(x) for x in members)
    )


def merged(groups: Sequence[Group], most: int, graph: Graph) -> list[Group]:
    """Return at most `most` groups: the two neighbours with the fewest MACs together become one.

    Args:
        groups: In topological order of their first layers.
        most: At least 1.
        graph: Its nodes give the order of layers.
    """
    place = {str(node.name): index for index, node in enumerate(graph.nodes)}
    kept = list(groups)
    while len(kept) > max(most, 1):
        pairs = range(len(kept) - 1)
        at = min(pairs, key=lambda i: kept[i].macs + kept[i + 1].macs)
        first, second = kept[at], kept[at + 1]
        both = sorted((*first.layers, *second.layers), key=lambda name: place[name])
        kept[at : at + 2] = [
            Group(name=first.name, layers=tuple(both), macs=first.macs + second.macs)
        ]
    return kept

"""Blocks: pieces of a graph with one entry and one exit, of a few layers each.

The next layer can make up for the rounding of one, as long as both are learned together; so learned
rounding works on blocks. They are found from the graph alone, whatever framework it came from.
"""

__all__ = ["Block", "find_blocks"]

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import onnx_ir as ir

from quant.graph.prepared_graph import Graph, weight_of

MAX_LAYERS = 10
"""Layers of a block at most: an Inception module has as many."""

CHAIN_LAYERS = 3
"""Layers of a block that no branch holds together: expansion, depthwise, projection."""

POINTWISE = frozenset(
    {
        *("Clip", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Mul"),
        *("PRelu", "Relu", "Sigmoid", "Softplus", "Tanh", "Add", "Sub", "Div"),
    }
)
"""Operators that a block takes in behind its last layer: the error counts behind the activation."""


@dataclass(frozen=True, slots=True)
class Block:
    """Nodes that only `entry` reaches and that only reach others through `exit`.

    Attributes:
        nodes: In topological order.
        entry: The one value, apart from constants, that they read and do not make.
        exit: The output of the last node, the one value that others read.
    """

    nodes: tuple[ir.Node, ...]
    entry: str
    exit: str

    @property
    def layers(self) -> tuple[ir.Node, ...]:
        """The nodes with a constant weight."""
        return tuple(n for n in self.nodes if weight_of(n) is not None)


def find_blocks(graph: Graph, can_run: Callable[[ir.Node], bool]) -> list[Block]:
    """Return blocks that share no node, in the order of their first nodes.

    A block is what lies between a fork and its join (a residual block, a squeeze-and-excite branch,
    an Inception module), the greatest that has 2 to 10 layers; else a chain of up to 3 layers. The
    pointwise nodes behind belong to it. A layer that cannot be joined to another is a block by itself;
    one that `can_run` is false of is in none.

    Single entry and single exit are decided by dominance: the entry is the immediate dominator of
    the exit, and no value between them is read elsewhere (Li et al. 2021, "BRECQ", section 3.2, has
    blocks by the name of their module instead).

    Args:
        graph: The prepared graph.
        can_run: Returns whether a node may be in a block.
    """
    search = _Search(graph, can_run)
    regions = [r for n in graph.nodes if (r := search.region(n)) is not None]
    forked = [r for r in regions if 2 <= len(r.layers) <= MAX_LAYERS and len(r.nodes) > 1]
    for region in sorted(forked, key=lambda r: -len(r.layers)):  # stable: the first of equals
        search.take(region, region.nodes, MAX_LAYERS, trailing=True)
    for node in graph.nodes:
        alone = search.region(node)
        if weight_of(node) is not None and alone is not None:
            search.take(alone, alone.nodes, CHAIN_LAYERS, trailing=False)
    return sorted(search.blocks, key=lambda b: search.order[b.nodes[0]])


class _Search:
    """Regions of one graph, and the blocks made of them so far."""

    def __init__(self, graph: Graph, can_run: Callable[[ir.Node], bool]) -> None:
        self.nodes = graph.nodes
        self.order = {node: i for i, node in enumerate(self.nodes)}
        self.outputs = {str(v.name) for v in graph.outputs}
        self.runs = {node: can_run(node) and len(node.outputs) == 1 for node in self.nodes}
        self.taken: set[ir.Node] = set()
        self.blocks: list[Block] = []
        self._dominators()
        self._regions = {node: self._between(node) for node in self.nodes}
        self._follow: dict[str, Block] = {}
        for region in self._regions.values():
            if region is not None and self._all_readers(region):
                self._follow.setdefault(region.entry, region)

    def region(self, node: ir.Node) -> Block | None:
        """Return what lies between a node's dominator and the node, it included."""
        return self._regions[node]

    def _dominators(self) -> None:
        """Find the value that all paths to a node go through last: exact in one pass, for a DAG."""
        self.above: dict[ir.Node, ir.Value | None] = {}
        self.depth: dict[ir.Value, int] = {}
        for node in self.nodes:
            data = [v for v in node.inputs if v is not None and not v.is_initializer()]
            meet: ir.Value | None = data[0] if data else None
            for value in data[1:]:
                meet = self._common(meet, value)
            self.above[node] = meet
            depth = self.depth.get(meet, 0) + 1 if meet is not None else 0
            self.depth.update(dict.fromkeys(node.outputs, depth))

    def _up(self, value: ir.Value) -> ir.Value | None:
        maker = value.producer()
        return None if maker is None else self.above[maker]

    def _common(self, a: ir.Value | None, b: ir.Value | None) -> ir.Value | None:
        while a is not b and a is not None and b is not None:
            if self.depth.get(a, 0) >= self.depth.get(b, 0):
                a = self._up(a)
            else:
                b = self._up(b)
        return a if a is b else None

    def _between(self, last: ir.Node) -> Block | None:
        """Return the region that ends with a node, or None where it leaks or cannot run."""
        entry = self.above[last]
        if entry is None:
            return None
        inside, waiting = {last}, [last]
        while waiting:
            node = waiting.pop()
            if not self.runs[node]:
                return None
            for value in node.inputs:
                maker = value.producer() if value is not None and value is not entry else None
                if maker is not None and maker not in inside:
                    inside.add(maker)
                    waiting.append(maker)
        for node in inside - {last}:
            value = node.outputs[0]
            if str(value.name) in self.outputs or any(u.node not in inside for u in value.uses()):
                return None
        nodes = tuple(sorted(inside, key=self.order.__getitem__))
        return Block(nodes, str(entry.name), str(last.outputs[0].name))

    def _all_readers(self, region: Block) -> bool:
        """Return whether all readers of a region's entry are in it."""
        entry = self.above[region.nodes[-1]]
        readers = entry.uses() if entry is not None else ()
        inside = set(region.nodes)
        return region.entry not in self.outputs and all(u.node in inside for u in readers)

    def take(self, start: Block, nodes: Iterable[ir.Node], most: int, *, trailing: bool) -> None:
        """Make a block of a region and what follows it, unless part of it is taken.

        Args:
            start: The region.
            nodes: Its nodes.
            most: Layers of the block at most.
            trailing: Whether only pointwise nodes may follow.
        """
        block, tried = start, start
        if self.taken & set(nodes):
            return
        while (after := self._follow.get(tried.exit)) is not None:
            layers = len(tried.layers) + len(after.layers)
            if self.taken & set(after.nodes) or layers > most or (trailing and after.layers):
                break
            tried = Block((*tried.nodes, *after.nodes), start.entry, after.exit)
            pointwise = all(n.op_type in POINTWISE for n in after.nodes)
            if after.layers or (pointwise and block.exit == after.entry):
                block = tried
            elif trailing:
                break
        self.taken |= set(block.nodes)
        self.blocks.append(block)

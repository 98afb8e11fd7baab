"""Place: which layers compute in integers on a target, and which tensors get a quantizer for whom.

Nothing is measured here; `choose.py` puts the numbers in.
"""

__all__ = ["Placement", "place"]

from collections.abc import Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from quant.graph import Graph, weight_of
from quant.layers import Layer, layers
from quant.plan import LayerPlan
from quant.recipe import Recipe
from quant.target import Target

Readers = list[tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The decisions of one target on one graph.

    Attributes:
        layers: Precision and reason by node name.
        readers: For each activation with a quantizer who sees the integers; None for everybody.
        because: For each of those tensors one phrase.
        groups: Tensors that share one grid; every quantized activation is in exactly one.
    """

    layers: dict[str, LayerPlan]
    readers: dict[str, Readers | None]
    because: dict[str, str]
    groups: list[list[str]]


def place(graph: Graph, target: Target, recipe: Recipe, seen: Sequence[str]) -> Placement:
    """Decide where integers begin and end.

    A weighted layer is integer if the target has the kernel and the recipe allows it. Another
    operator is, if the target has the kernel, an integer layer feeds it, and an integer weighted
    layer lies downstream: what follows the last weighted layer (box decoding, softmax, the concat
    of a detector's heads) stays float, because it costs no time there and mixes quantities.

    Args:
        graph: The prepared graph.
        target: The table.
        recipe: The user's rules.
        seen: Names of the tensors that hold finite numbers in the profile.
    """
    every = layers(graph)
    state = _State(graph=graph, target=target, seen=frozenset(seen), every=every)
    for layer in every:
        precision, because = state.weighted(layer, recipe)
        state.plans[layer.name] = LayerPlan(
            layer=layer.name, op=layer.op, precision=precision, because=because
        )
    state.reach()
    for layer in every:
        if weight_of(layer.node) is None:
            state.other(layer, recipe)
    if target.quantizers == "producer":
        state.at_producers()
    else:
        state.at_readers()
    return Placement(
        layers=state.plans, readers=state.readers, because=state.because, groups=state.groups()
    )


@dataclass
class _State:
    graph: Graph
    target: Target
    seen: frozenset[str]
    every: list[Layer]
    plans: dict[str, LayerPlan] = field(default_factory=dict)
    readers: dict[str, Readers | None] = field(default_factory=dict)
    because: dict[str, str] = field(default_factory=dict)
    joins: list[tuple[str, str]] = field(default_factory=list)
    live: set[str] = field(default_factory=set)

    def integer(self, layer: Layer) -> bool:
        return self.plans[layer.name].precision == "int8"

    def weighted(self, layer: Layer, recipe: Recipe) -> tuple[str, str]:
        """Decide a layer with a weight; the others wait for what lies downstream."""
        if weight_of(layer.node) is None:
            return "float32", "no weight"
        if layer.op not in self.target.weighted:
            return "float32", f"{self.target.title} has no integer {layer.op}"
        if recipe.wants(layer.name, layer.op, "precision") == "float":
            return "float32", "the recipe keeps it float"
        if any(str(v.name) not in self.seen for v in layer.data):
            return "float32", "its input was not profiled"
        if layer.op == "Gemm" and layer.node.attributes.get_int("transA", 0):
            return "float32", "a transposed activation has no integer kernel"
        return "int8", f"{self.target.title} has an integer {layer.op}"

    def reach(self) -> None:
        """Find the values from which an integer weighted layer can be reached."""
        for layer in reversed(self.every):
            outputs = [str(v.name) for v in [*layer.node.outputs, layer.output]]
            if self.integer(layer) or any(name in self.live for name in outputs):
                self.live.update(str(v.name) for v in layer.data)

    def other(self, layer: Layer, recipe: Recipe) -> None:
        """Decide a layer without weight."""
        because = self._refusal(layer, recipe)
        if because is None:
            precision, because = "int8", "between integer layers"
        else:
            precision = "float32"
        self.plans[layer.name] = LayerPlan(
            layer=layer.name, op=layer.op, precision=precision, because=because
        )

    def _refusal(self, layer: Layer, recipe: Recipe) -> str | None:
        """Return why a layer without weight stays float, or None."""
        table = self.target
        if layer.op not in table.others | table.views | table.joined:
            return f"{table.title} computes {layer.op} in float"
        if recipe.wants(layer.name, layer.op, "precision") == "float":
            return "the recipe keeps it float"
        if str(layer.output.name) not in self.live:
            return "no integer layer follows"
        inputs = [v for v in layer.node.inputs if v is not None]
        if layer.op not in table.views and len(layer.data) < len(inputs):
            return "one operand is a constant"
        if any(str(v.name) not in self.seen for v in [*layer.data, layer.output]):
            return "its tensors were not profiled"
        fed = [self._maker(v) for v in layer.data]
        if layer.op in table.views and any(m is None or not self.integer(m) for m in fed):
            return "its input is float"
        if not any(m is not None and self.integer(m) for m in fed):
            return "no integer layer feeds it"
        return None

    def _maker(self, value: ir.Value) -> Layer | None:
        """Return the layer that makes a value."""
        return next((x for x in self.every if x.output is value), None)

    def at_producers(self) -> None:
        """Quantize a tensor where it is made, for all its readers."""
        for value in self.graph.inputs:
            self._produced(str(value.name), "read by an integer layer")
        for layer in self.every:
            name = str(layer.output.name)
            if self.integer(layer) and (
                layer.op in self.target.outputs or weight_of(layer.node) is None
            ):
                self._add(name, None, "an integer kernel writes it")
            else:
                self._produced(name, "read by an integer layer")
            if self.integer(layer) and layer.op in self.target.views | self.target.joined:
                self.joins += [(str(v.name), name) for v in layer.data]

    def _produced(self, name: str, because: str) -> None:
        if any(self.integer(x) and any(v.name == name for v in x.data) for x in self.every):
            self._add(name, None, because)

    def _add(self, name: str, reader: tuple[str, int] | None, because: str) -> None:
        if reader is None:
            self.readers[name] = None
        else:
            known = self.readers.setdefault(name, [])
            if known is not None and reader not in known:
                known.append(reader)
        self.because.setdefault(name, because)

    def at_readers(self) -> None:
        """Quantize a tensor only for the integer layers that read it."""
        for layer in reversed(self.every):  # a view follows what its own readers need
            if not self.integer(layer):
                continue
            name, op = str(layer.output.name), layer.op
            if weight_of(layer.node) is None and name not in self.readers:
                self.plans[layer.name] = LayerPlan(
                    layer=layer.name, op=op, precision="float32", because="its readers are float"
                )
                continue
            for index in self._operands(layer):
                operand = str(layer.node.inputs[index].name)  # type: ignore[union-attr]
                self._add(operand, (layer.name, index), f"read by the integer {op} '{layer.name}'")
            if op in self.target.views | self.target.joined:
                self.joins += [(str(v.name), name) for v in layer.data]

    def _operands(self, layer: Layer) -> list[int]:
        """Return the inputs that need a quantizer: of a fused residual Add only the skip."""
        data = [i for i, v in enumerate(layer.node.inputs) if v is not None and v in layer.data]
        if layer.op == "Add" and self.target.residual and len(data) == 2:
            fused = [i for i in data if self._fuses(layer.node.inputs[i])]
            if fused:
                deepest = max(fused, key=lambda i: self._depth(layer.node.inputs[i]))
                return [i for i in data if i != deepest]
        if layer.op in self.target.joined:
            # straight from a fused convolution: the quantizer behind the join moves up by itself
            return [i for i in data if not self._fuses(layer.node.inputs[i])]
        return data

    def _fuses(self, value: ir.Value | None) -> bool:
        """Tell whether a value comes from an integer weighted layer and goes nowhere else."""
        maker = self._maker(value) if value is not None else None
        return (
            maker is not None
            and value is not None
            and len(value.uses()) == 1
            and weight_of(maker.node) is not None
            and self.integer(maker)
        )

    def _depth(self, value: ir.Value | None) -> int:
        """Return the number of layers on the longest way from an input to a value."""
        depth: dict[int, int] = {}
        for layer in self.every:
            fed = [depth.get(id(v), 0) for v in layer.node.inputs if v is not None]
            depth[id(layer.output)] = 1 + max(fed, default=0)
        return depth.get(id(value), 0)

    def groups(self) -> list[list[str]]:
        """Return the quantized tensors by shared grid, in order of production."""
        parent = {name: name for name in self.readers}

        def root(name: str) -> str:
            while parent[name] != name:
                name = parent[name]
            return name

        for a, b in self.joins:
            if a in parent and b in parent:
                parent[root(a)] = root(b)
        found: dict[str, list[str]] = {}
        for name in self.graph.activations:
            if name in parent:
                found.setdefault(root(name), []).append(name)
        return list(found.values())

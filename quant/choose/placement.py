"""Which layers compute in integers on a target, and which tensors get a quantizer for which readers.

Nothing is measured here: the grids are chosen in the files beside this one.
"""

__all__ = ["Placement", "place"]

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import onnx_ir as ir

from quant.choose.precisions import is_product, precisions, producing_layers
from quant.graph.layer import Layer
from quant.graph.layers import VIEWS, connected
from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.recipe import Recipe
from quant.plan.tensor_plans import LayerPlan
from quant.target.table import Target

Readers = list[tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The decisions of one target on one graph.

    Attributes:
        layers: Precision and reason by node name.
        readers: For each activation with a quantizer, the nodes that read the integers; None for all.
        because: The reason of each of those tensors, one phrase.
        groups: Tensors that share one grid; every quantized activation is in exactly one.
    """

    layers: dict[str, LayerPlan]
    readers: dict[str, Readers | None]
    because: dict[str, str]
    groups: list[list[str]]


def place(graph: Graph, target: Target, recipe: Recipe, profiled: Sequence[str]) -> Placement:
    """Return where integers begin and end: precisions, quantizers and shared grids.

    Args:
        graph: The prepared graph.
        target: The table.
        recipe: The user's rules.
        profiled: Names of the tensors that hold finite numbers in the profile.
    """
    plans = precisions(graph.layers, target, recipe, frozenset(profiled))
    work = _QuantizerSets(graph=graph, target=target, layers=graph.layers, plans=plans)
    if target.quantize_at == "producer":
        work.at_producers()
    else:
        work.at_readers()
    return Placement(
        layers=work.plans, readers=work.readers, because=work.because, groups=work.groups()
    )


@dataclass
class _QuantizerSets:
    """Where the quantizers go, once it is known which layers are integer."""

    graph: Graph
    target: Target
    layers: Sequence[Layer]
    plans: dict[str, LayerPlan]
    readers: dict[str, Readers | None] = field(default_factory=dict)
    because: dict[str, str] = field(default_factory=dict)
    joins: list[tuple[str, str]] = field(default_factory=list)

    def integer(self, layer: Layer) -> bool:
        return self.plans[layer.name].quantized

    @cached_property
    def makers(self) -> dict[str, Layer]:
        """The layer that makes a value, by name."""
        return producing_layers(self.layers)

    @cached_property
    def depths(self) -> dict[str, int]:
        """The number of layers on the longest way from an input to a value, by name."""
        depths: dict[str, int] = {}
        for layer in self.layers:
            fed = [depths.get(str(v.name), 0) for v in layer.node.inputs if v is not None]
            depths.update({str(v.name): 1 + max(fed, default=0) for v in layer.outputs})
        return depths

    def at_producers(self) -> None:
        """Quantize a tensor where it is made, for all its readers."""
        read = {str(v.name) for x in self.layers if self.integer(x) for v in x.data}
        for value in self.graph.inputs:
            if str(value.name) in read:
                self._add(str(value.name), None, "read by an integer layer")
        for layer in self.layers:
            names = [str(v.name) for v in layer.outputs]
            weightless = weight_of(layer.node) is None and not is_product(layer, self.target)
            writes = layer.op in self.target.integer_output_ops or weightless
            for name in names:
                if self.integer(layer) and writes:
                    self._add(name, None, "an integer kernel writes it")
                elif name in read:
                    self._add(name, None, "read by an integer layer")
            if (
                self.integer(layer)
                and layer.op in self.target.passthrough_ops | self.target.shared_grid_ops
            ):
                self.joins += [(str(v.name), name) for v in layer.data for name in names]

    def at_readers(self) -> None:
        """Quantize a tensor only for the integer layers that read it."""
        for layer in reversed(self.layers):  # a view follows what its own readers need
            if not self.integer(layer):
                continue
            view = layer.op in self.target.passthrough_ops
            if view and any(self._feeds_float(v) for v in layer.outputs):
                self._keep_float(layer, "a float layer reads it")
                continue
            grids = [name for v in layer.outputs for name in self._grids(v)]
            weightless = weight_of(layer.node) is None and not is_product(layer, self.target)
            if weightless and not grids and not self.target.no_float_unit:
                self._keep_float(layer, "its readers are float")
                continue
            for index in self._operands(layer):
                operand = str(layer.node.inputs[index].name)  # type: ignore[union-attr]
                because = f"read by the integer {layer.op} '{layer.name}'"
                self._add(operand, (layer.name, index), because)
            if view or layer.op in self.target.shared_grid_ops:
                self.joins += [(str(v.name), name) for v in layer.data for name in grids]

    def _keep_float(self, layer: Layer, because: str) -> None:
        precision = self.target.float_precisions[0]
        plan = replace(self.plans[layer.name], precision=precision, because=because)
        self.plans[layer.name] = plan

    def _feeds_float(self, value: ir.Value) -> bool:
        """Return whether a float weighted layer reads a value, views passed: it would see integers."""
        for use in value.uses():
            if use.node.op_type in VIEWS | self.target.passthrough_ops:
                if self._feeds_float(use.node.outputs[0]):
                    return True
                continue
            layer_plan = self.plans.get(str(use.node.name))
            if (
                weight_of(use.node) is not None
                and layer_plan is not None
                and not layer_plan.quantized
            ):
                return True
        return False

    def _add(self, name: str, reader: tuple[str, int] | None, because: str) -> None:
        if reader is None:
            self.readers[name] = None
        else:
            readers = self.readers.setdefault(name, [])
            if readers is not None and reader not in readers:
                readers.append(reader)
        self.because.setdefault(name, because)

    def _grids(self, value: ir.Value) -> list[str]:
        """Return the quantized tensors with a value's numbers: itself, or the views of it."""
        if str(value.name) in self.readers:
            return [str(value.name)]
        views = [u.node for u in value.uses() if u.node.op_type in VIEWS and u.idx == 0]
        return [name for node in views for name in self._grids(node.outputs[0])]

    def _operands(self, layer: Layer) -> list[int]:
        """Return the inputs that need a quantizer: of a fused residual Add only the skip."""
        inputs = layer.node.inputs
        data = [i for i, v in enumerate(inputs) if v is not None and v in layer.data]
        fused = [i for i in data if self._fuses(inputs[i])]
        if layer.op == "Add" and self.target.fuses_residual_add and fused and len(data) == 2:
            deepest = max(fused, key=lambda i: self.depths[str(inputs[i].name)])  # type: ignore[union-attr]
            return [i for i in data if i != deepest]
        if layer.op in self.target.shared_grid_ops:
            # straight from a fused convolution: the quantizer behind the join moves up by itself
            return [i for i in data if i not in fused]
        return data

    def _fuses(self, value: ir.Value | None) -> bool:
        """Return whether a value comes from an integer weighted layer and goes nowhere else."""
        if value is None or len(value.uses()) != 1 or value.is_graph_output():
            return False
        maker = self.makers.get(str(value.name))
        return maker is not None and weight_of(maker.node) is not None and self.integer(maker)

    def groups(self) -> list[list[str]]:
        """Return the quantized tensors by shared grid, in order of production."""
        return connected([n for n in self.graph.activations if n in self.readers], self.joins)

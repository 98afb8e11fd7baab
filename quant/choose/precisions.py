"""Which layers compute in integers on a target, and why the others do not."""

__all__ = ["is_product", "precisions", "producing_layers"]

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property

from quant.choose.decomposed_operators import decomposed_operators
from quant.common.errors import InputError
from quant.formats.precision import Precision
from quant.graph.layer import Layer
from quant.graph.layers import elements
from quant.graph.prepared_graph import weight_of
from quant.plan.recipe import Recipe
from quant.plan.tensor_plans import LayerPlan
from quant.target.table import Target


def producing_layers(layers: Iterable[Layer]) -> dict[str, Layer]:
    """Return the layer that makes each value, by the value's name."""
    return {str(value.name): layer for layer in layers for value in layer.outputs}


def precisions(
    layers: Sequence[Layer], target: Target, recipe: Recipe, profiled: AbstractSet[str]
) -> dict[str, LayerPlan]:
    """Return each layer's precision and reason by node name, in the order of `layers`.

    A weighted layer is integer if the target has the kernel and the recipe allows it. Another
    operator is, if the target has the kernel, an integer layer feeds it, and an integer weighted
    layer lies downstream: what follows the last weighted layer (box decoding, softmax, the concat
    of a detector's heads) stays float, because it costs no time there and mixes quantities.

    Args:
        layers: In topological order.
        target: The table.
        recipe: The user's rules.
        profiled: Names of the tensors that hold finite numbers in the profile.

    Raises:
        InputError: A rule asks for a precision that the target lacks.
    """
    choice = _Choice(layers=layers, target=target, recipe=recipe.of(target.name), profiled=profiled)
    plans = choice.plans()
    return plans if target.quantize_at == "reader" else choice.without_idle_layers(plans)


def is_product(layer: Layer, target: Target) -> bool:
    """Return whether a layer multiplies two activations by an integer kernel of the target."""
    return layer.op in target.product_ops and len(layer.data) == 2


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """One target's choice for the layers of a graph; a reason is why a layer stays float, or None.

    Attributes:
        layers: In topological order.
        target: The table.
        recipe: The rules for this target.
        profiled: Names of the tensors that hold finite numbers in the profile.
    """

    layers: Sequence[Layer]
    target: Target
    recipe: Recipe
    profiled: AbstractSet[str]

    @cached_property
    def producers(self) -> dict[str, Layer]:
        return producing_layers(self.layers)

    def plans(self) -> dict[str, LayerPlan]:
        """Return the precisions by the kernels of the target and what surrounds each layer."""
        asked = {layer.name: self._asked(layer) for layer in self.layers}
        reasons = {
            layer.name: self._weighted_reason(layer, asked[layer.name])
            for layer in self.layers
            if _has_weight(layer)
        }
        integer = {name for name, reason in reasons.items() if reason is None}
        upstream = _upstream_values(self.layers, integer)
        parts = (
            {}
            if self.target.no_float_unit
            else decomposed_operators([layer.node for layer in self.layers])
        )
        plans: dict[str, LayerPlan] = {}
        for layer in self.layers:
            precision = asked[layer.name]
            if layer.name in reasons:
                reason = reasons[layer.name]
                because = f"{self.target.title} has an integer {layer.op}"
            elif layer.name in parts:
                reason, because = parts[layer.name], ""
            elif is_product(layer, self.target):
                reason = self._product_reason(layer, precision)
                because = "the recipe wants its products in integers"
            elif self.target.no_float_unit:
                reason, because = self._weightless_reason(layer, precision, None), "no float unit"
            else:
                reason = self._weightless_reason(layer, precision, upstream)
                if self.recipe.wants(layer.name, layer.op, "precision") is None:
                    precision = self._inherited(layer, plans)
                reason = reason or self._feeding_reason(layer, precision, plans)
                because = "between integer layers"
            plans[layer.name] = LayerPlan(
                layer=layer.name,
                op=layer.op,
                precision=precision if reason is None else self._float_of(layer, precision),
                because=reason or self.recipe.reason(layer.name, layer.op) or because,
            )
        return plans

    def without_idle_layers(self, plans: Mapping[str, LayerPlan]) -> dict[str, LayerPlan]:
        """Return the plans without layers that would quantize an operand for float readers alone."""
        result = dict(plans)
        read = {str(v.name) for x in self.layers if plans[x.name].quantized for v in x.data}
        for layer in self.layers:
            feeding = [self.producers.get(str(v.name)) for v in layer.data]
            joins = any(x is None or not plans[x.name].quantized for x in feeding)
            used = any(str(v.name) in read for v in layer.outputs)
            weightless = not _has_weight(layer) and not is_product(layer, self.target)
            if plans[layer.name].quantized and weightless and joins and not used:
                result[layer.name] = replace(
                    plans[layer.name],
                    precision=self.target.float_precisions[0],
                    because="its readers are float",
                )
        return result

    def _asked(self, layer: Layer) -> Precision:
        """Return the precision that the recipe gives a layer, or the target's default.

        Raises:
            InputError: The target has no such precision.
        """
        target = self.target
        name = self.recipe.wants(layer.name, layer.op, "precision")
        if name is None:
            return target.precision
        if name == "float":
            quantized = target.best_precision in target.formats
            return target.best_precision if quantized else self._float_by_recipe(layer)
        known = (*target.simulated_formats, *target.float_precisions)
        if name not in known:
            raise InputError(
                f"{self.recipe.path}: precision '{name}' for layer '{layer.name}': {target.title} "
                f"has {', '.join(known)}. Choose one of them, or add target = to the rule."
            )
        return Precision(name)

    def _float_of(self, layer: Layer, asked: Precision) -> Precision:
        """Return what a layer without grids computes in."""
        return asked if asked in self.target.float_precisions else self._float_by_recipe(layer)

    def _float_by_recipe(self, layer: Layer) -> Precision:
        """Return the float that the recipe wants of a layer without grids, or the target's first."""
        floats = self.target.float_precisions
        name = self.recipe.wants(layer.name, layer.op, "float_precision")
        return Precision(name) if name in floats else floats[0]

    def _recipe_reason(self, layer: Layer) -> str:
        return self.recipe.reason(layer.name, layer.op) or "the recipe keeps it float"

    def _weighted_reason(self, layer: Layer, asked: Precision) -> str | None:
        """Return why a layer with a weight stays float, or None."""
        target, profiled = self.target, self.profiled
        if layer.op not in target.weighted_ops:
            return f"{target.title} has no integer {layer.op}"
        if asked not in target.simulated_formats:
            return self._recipe_reason(layer)
        if len(layer.data) > 1:
            return "its bias is no constant"
        if any(str(v.name) not in profiled for v in layer.data):
            return "its input was not profiled"
        if layer.op in target.integer_output_ops and str(layer.output.name) not in profiled:
            return "its output was not profiled"
        if layer.op == "Gemm" and layer.node.attributes.get_int("transA", 0) != 0:
            return "a transposed activation has no integer kernel"
        return None

    def _product_reason(self, layer: Layer, asked: Precision) -> str | None:
        """Return why a product of two activations stays float, or None.

        By default it does. Each operand needs a quantizer that runs for every sample, so that
        integers gain little (docs/targets.md), and of a softmax what is below half a step is lost.
        """
        if asked not in self.target.simulated_formats:
            return self._recipe_reason(layer)
        if self.recipe.wants(layer.name, layer.op, "products") != "on":
            return "a product of two activations gains little from integers"
        profiled = all(str(v.name) in self.profiled for v in layer.data)
        return None if profiled else "its inputs were not profiled"

    def _weightless_reason(
        self, layer: Layer, asked: Precision, upstream: AbstractSet[str] | None
    ) -> str | None:
        """Return why a layer without weight stays float, whatever feeds it, or None.

        `upstream` holds the values from which an integer weighted layer can be reached, None for any.
        """
        target = self.target
        if layer.op not in target.integer_ops | target.passthrough_ops | target.shared_grid_ops:
            return f"{target.title} computes {layer.op} in float"
        if asked not in target.simulated_formats:
            return self._recipe_reason(layer)
        if upstream is not None and not any(str(v.name) in upstream for v in layer.outputs):
            return "no integer layer follows"
        inputs = [v for v in layer.node.inputs if v is not None]
        if layer.op not in target.passthrough_ops and len(layer.data) < len(inputs):
            return "one operand is a constant"
        if any(str(v.name) not in self.profiled for v in (*layer.data, *layer.outputs)):
            return "its tensors were not profiled"
        return None

    def _inherited(self, layer: Layer, plans: Mapping[str, LayerPlan]) -> Precision:
        """Return the precision that a layer takes from what feeds it.

        The sum of a residual block fuses into the convolution before it, and has its precision;
        other operators have kernels of the default precision only.
        """
        feeding = [self.producers.get(str(v.name)) for v in layer.data]
        fed = {
            plans[x.name].precision for x in feeding if x is not None and plans[x.name].quantized
        }
        fused = self.target.fuses_residual_add and layer.op == "Add" and len(fed) == 1
        return fed.pop() if fused else self.target.precision

    def _feeding_reason(
        self, layer: Layer, asked: Precision, plans: Mapping[str, LayerPlan]
    ) -> str | None:
        """Return why what feeds a layer keeps it float, or None."""
        feeding = [self.producers.get(str(v.name)) for v in layer.data]
        feeding_plans = [plans[x.name] if x is not None else None for x in feeding]
        integer = [p is not None and p.quantized for p in feeding_plans]
        other = next((p for p in feeding_plans if p and p.quantized and p.precision != asked), None)
        if other is not None:
            return f"what feeds it is {other.precision}"
        if layer.op in self.target.passthrough_ops and not all(integer):
            return "its input is float"
        if not any(integer):
            return "no integer layer feeds it"
        size = elements(layer.output)
        large = [
            str(v.name)
            for v, from_integer in zip(layer.data, integer, strict=True)
            if not from_integer and (not size or elements(v) >= size)
        ]
        # an integer Mul or Add would quantize such an operand only for itself: slower, less exact
        return f"its operand '{large[0]}' is float and as large as its output" if large else None


def _has_weight(layer: Layer) -> bool:
    return weight_of(layer.node) is not None


def _upstream_values(layers: Sequence[Layer], integer: AbstractSet[str]) -> set[str]:
    """Return the values from which an integer weighted layer can be reached."""
    upstream: set[str] = set()
    for layer in reversed(layers):
        outputs = [str(v.name) for v in (*layer.node.outputs, layer.output)]
        if layer.name in integer or any(name in upstream for name in outputs):
            upstream.update(str(v.name) for v in layer.data)
    return upstream

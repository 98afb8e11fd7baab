"""Precision: which layers compute in integers on a target, and why the others do not."""

__all__ = ["is_product", "makers", "precisions"]

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from quant.choose.decomposed_operators import decomposed_operators
from quant.common.errors import InputError
from quant.formats.precision import Precision
from quant.graph.layer import Layer
from quant.graph.layers import elements
from quant.graph.prepared_graph import weight_of
from quant.plan.recipe import Recipe
from quant.plan.tensor_plans import LayerPlan
from quant.target.table import Target


def makers(every: Iterable[Layer]) -> dict[str, Layer]:
    """Return the layer that makes each value, by the value's name."""
    return {str(value.name): layer for layer in every for value in layer.outputs}


def precisions(
    every: Sequence[Layer], target: Target, recipe: Recipe, seen: AbstractSet[str]
) -> dict[str, LayerPlan]:
    """Return each layer's precision and reason by node name, in the order of `every`.

    A weighted layer is integer if the target has the kernel and the recipe allows it. Another
    operator is, if the target has the kernel, an integer layer feeds it, and an integer weighted
    layer lies downstream: what follows the last weighted layer (box decoding, softmax, the concat
    of a detector's heads) stays float, because it costs no time there and mixes quantities.

    Args:
        every: The layers in topological order.
        target: The table.
        recipe: The user's rules.
        seen: Names of the tensors that hold finite numbers in the profile.
    """
    recipe = recipe.of(target.name)
    wanted: dict[str, Precision] = {x.name: _wanted(x, target, recipe) for x in every}
    told = {x.name: recipe.reason(x.name, x.op) for x in every}
    kept = {name: said or "the recipe keeps it float" for name, said in told.items()}
    refused = {
        x.name: _weighted(x, wanted[x.name], kept[x.name], target, seen)
        for x in every
        if _has_weight(x)
    }
    live = _reach(every, {name for name, why in refused.items() if why is None})
    made = makers(every)
    parts = {} if target.no_float_unit else decomposed_operators([x.node for x in every])
    plans: dict[str, LayerPlan] = {}
    for layer in every:
        if layer.name in refused:
            why, good = refused[layer.name], f"{target.title} has an integer {layer.op}"
        elif layer.name in parts:
            why, good = parts[layer.name], ""
        elif is_product(layer, target):
            asked = recipe.wants(layer.name, layer.op, "products") == "on"
            why = _product(layer, wanted[layer.name], kept[layer.name], asked, target, seen)
            good = "the recipe wants its products in integers"
        elif target.no_float_unit:
            why, good = (
                _other(layer, wanted[layer.name], kept[layer.name], target, seen, None),
                "no float unit",
            )
        else:
            why = _other(layer, wanted[layer.name], kept[layer.name], target, seen, live)
            if recipe.wants(layer.name, layer.op, "precision") is None:
                wanted[layer.name] = _followed(layer, target, made, plans)
            why = why or _fed(layer, wanted[layer.name], target, made, plans)
            good = "between integer layers"
        precision = wanted[layer.name] if why is None else _float(layer, wanted, target, recipe)
        plans[layer.name] = LayerPlan(
            layer=layer.name,
            op=layer.op,
            precision=precision,
            because=why or told[layer.name] or good,
        )
    return plans if target.quantize_at == "reader" else _used(every, target, plans)


def is_product(layer: Layer, target: Target) -> bool:
    """Tell whether a layer multiplies two activations and the target has an integer kernel for it."""
    return layer.op in target.product_ops and len(layer.data) == 2


def _wanted(layer: Layer, target: Target, recipe: Recipe) -> Precision:
    """Return the precision that the recipe gives a layer, or the target's default.

    Raises:
        InputError: The target has no such precision.
    """
    said = recipe.wants(layer.name, layer.op, "precision")
    if said is None:
        return target.precision
    if said == "float":
        return (
            target.best_precision
            if target.best_precision in target.formats
            else _floats(layer, target, recipe)
        )
    known = (*target.simulated_formats, *target.float_precisions)
    if said not in known:
        raise InputError(
            f"{recipe.path}: precision '{said}' for layer '{layer.name}': {target.title} has "
            f"{', '.join(known)}. Choose one of them, or add target = to the rule."
        )
    return Precision(said)


def _float(
    layer: Layer, wanted: Mapping[str, Precision], target: Target, recipe: Recipe
) -> Precision:
    """Return what a layer without grids computes in."""
    said = wanted[layer.name]
    return said if said in target.float_precisions else _floats(layer, target, recipe)


def _floats(layer: Layer, target: Target, recipe: Recipe) -> Precision:
    """Return which float the recipe wants of a layer that has no grids, or the target's first."""
    said = recipe.wants(layer.name, layer.op, "float_precision")
    return Precision(said) if said in target.float_precisions else target.float_precisions[0]


def _has_weight(layer: Layer) -> bool:
    return weight_of(layer.node) is not None


def _weighted(
    layer: Layer, wanted: Precision, kept: str, target: Target, seen: AbstractSet[str]
) -> str | None:
    """Return why a layer with a weight stays float, or None."""
    if layer.op not in target.weighted_ops:
        return f"{target.title} has no integer {layer.op}"
    if wanted not in target.simulated_formats:
        return kept
    if len(layer.data) > 1:
        return "its bias is no constant"
    if any(str(v.name) not in seen for v in layer.data):
        return "its input was not profiled"
    if layer.op in target.integer_output_ops and str(layer.output.name) not in seen:
        return "its output was not profiled"
    if layer.op == "Gemm" and layer.node.attributes.get_int("transA", 0) != 0:
        return "a transposed activation has no integer kernel"
    return None


def _product(
    layer: Layer, wanted: Precision, kept: str, asked: bool, target: Target, seen: AbstractSet[str]
) -> str | None:
    """Return why a product of two activations stays float, or None.

    By default it does. Each operand needs a quantizer that runs for every sample, so that integers
    gain little (docs/targets.md), and of a softmax what is below half a step is lost.
    """
    if wanted not in target.simulated_formats:
        return kept
    if not asked:
        return "a product of two activations gains little from integers"
    return None if all(str(v.name) in seen for v in layer.data) else "its inputs were not profiled"


def _used(
    every: Sequence[Layer], target: Target, plans: Mapping[str, LayerPlan]
) -> dict[str, LayerPlan]:
    """Return the plans without layers that would quantize an operand for float readers alone."""
    made, found = makers(every), dict(plans)
    read = {str(v.name) for x in every if plans[x.name].quantized for v in x.data}
    for layer in every:
        fed = [made.get(str(v.name)) for v in layer.data]
        joins = any(m is None or not plans[m.name].quantized for m in fed)
        used = any(str(v.name) in read for v in layer.outputs)
        other = not _has_weight(layer) and not is_product(layer, target)
        if plans[layer.name].quantized and other and joins and not used:
            found[layer.name] = replace(
                plans[layer.name],
                precision=target.float_precisions[0],
                because="its readers are float",
            )
    return found


def _reach(every: Sequence[Layer], integer: AbstractSet[str]) -> set[str]:
    """Return the values from which an integer weighted layer can be reached."""
    live: set[str] = set()
    for layer in reversed(every):
        outputs = [str(v.name) for v in (*layer.node.outputs, layer.output)]
        if layer.name in integer or any(name in live for name in outputs):
            live.update(str(v.name) for v in layer.data)
    return live


def _other(
    layer: Layer,
    wanted: Precision,
    kept: str,
    target: Target,
    seen: AbstractSet[str],
    live: AbstractSet[str] | None,
) -> str | None:
    """Return why a layer without weight stays float, whatever feeds it, or None.

    `live` holds the values from which an integer weighted layer can be reached, None for any.
    """
    if layer.op not in target.integer_ops | target.passthrough_ops | target.shared_grid_ops:
        return f"{target.title} computes {layer.op} in float"
    if wanted not in target.simulated_formats:
        return kept
    if live is not None and not any(str(v.name) in live for v in layer.outputs):
        return "no integer layer follows"
    inputs = [v for v in layer.node.inputs if v is not None]
    if layer.op not in target.passthrough_ops and len(layer.data) < len(inputs):
        return "one operand is a constant"
    if any(str(v.name) not in seen for v in (*layer.data, *layer.outputs)):
        return "its tensors were not profiled"
    return None


def _followed(
    layer: Layer, target: Target, made: Mapping[str, Layer], plans: Mapping[str, LayerPlan]
) -> Precision:
    """Return the precision that a layer takes from what feeds it.

    The sum of a residual block fuses into the convolution before it, and has its precision; other
    operators have kernels of the default precision only.
    """
    makers_of = [made.get(str(v.name)) for v in layer.data]
    fed = {plans[m.name].precision for m in makers_of if m is not None and plans[m.name].quantized}
    return (
        fed.pop()
        if target.fuses_residual_add and layer.op == "Add" and len(fed) == 1
        else target.precision
    )


def _fed(
    layer: Layer,
    wanted: Precision,
    target: Target,
    made: Mapping[str, Layer],
    plans: Mapping[str, LayerPlan],
) -> str | None:
    """Return why what feeds a layer keeps it float, or None."""
    found = [made.get(str(v.name)) for v in layer.data]
    known = [plans[m.name] if m is not None else None for m in found]
    integer = [p is not None and p.quantized for p in known]
    other = next((p for p in known if p and p.quantized and p.precision != wanted), None)
    if other is not None:
        return f"what feeds it is {other.precision}"
    if layer.op in target.passthrough_ops and not all(integer):
        return "its input is float"
    if not any(integer):
        return "no integer layer feeds it"
    size = elements(layer.output)
    large = [
        str(v.name)
        for v, from_integer in zip(layer.data, integer, strict=True)
        if not from_integer and (not size or elements(v) >= size)
    ]
    # an integer Mul or Add would quantize such an operand only for itself: slower and less exact
    return f"its operand '{large[0]}' is float and as large as its output" if large else None

"""Check a plan against its graph and target: each mistake of a hand edit in one sentence."""

__all__ = ["check_plan", "check_whole"]

import numpy as np

from quant.common.errors import InputError
from quant.formats.number_format import Integer, NumberFormat
from quant.formats.short_floats import FLOAT16, Float16
from quant.graph.layer import Layer
from quant.graph.layers import weight_axis
from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.tensor_plans import Plan, TensorPlan
from quant.target.table import Target


def check_plan(plan: Plan, graph: Graph, target: Target) -> None:
    """Refuse a plan that does not fit its graph.

    Raises:
        InputError: The plan is of another graph; a tensor or layer is not in it; a weight is called
            an activation or the other way round; scales do not fit the axis; a format
            is not the target's; a float layer reads a weight that has a grid; or a bias shift is
            not finite or has another length.
    """
    place = f"plan for '{plan.target}'"
    if plan.graph != graph.fingerprint:
        raise InputError(
            f"{place}: it is of another graph (fingerprint {plan.graph[:12]}, wanted "
            f"{graph.fingerprint[:12]}). Choose again for this model."
        )
    for tensor in plan.quantized:
        _check_tensor(place, tensor, graph)
        _check_format(place, tensor, target)
    nodes = {str(n.name): n for n in graph.nodes}
    for name, shift in plan.bias_shifts.items():
        weight = weight_of(nodes[name]) if name in nodes else None
        if weight is None:
            raise InputError(
                f"{place}: it shifts the bias of layer '{name}', which the graph does not have or "
                "which has no weight. Remove the entry."
            )
        axis = weight_axis(nodes[name])
        count = weight.shape[axis] if axis is not None and weight.shape is not None else shift.size
        if shift.size != count or not np.all(np.isfinite(shift)):
            raise InputError(
                f"{place}: the bias shift of '{name}' must be {count} finite numbers, saw "
                f"{shift.size}. Mend the entry."
            )
    for name, layer in plan.layers.items():
        weight = weight_of(nodes[name]) if name in nodes else None
        grid = plan.grid(str(weight.name), name) if weight is not None else None
        if not layer.quantized and grid is not None and not isinstance(grid.format, Float16):
            raise InputError(
                f"{place}: layer '{name}' is {layer.precision}, but its weight '{grid.tensor}' has "
                "a grid. Give the weight and the layer's inputs the format float32, or use a recipe."
            )


def check_whole(plan: Plan, graph: Graph, target: Target) -> None:
    """Refuse a plan that does not fit its graph or says too little to be exported.

    A chip's tool computes a layer on integers whether its grids are known or not.

    Raises:
        InputError: As `check_plan`; a layer is missing, or is not in the graph, or has a precision
            that the target lacks; or a layer on grids reads a weight or data that have
            none, or one of another precision.
    """
    check_plan(plan, graph, target)
    place = f"plan for '{plan.target}'"
    layers = graph.layers
    for name in sorted(plan.layers.keys() - {layer.name for layer in layers}):
        raise InputError(
            f"{place}: it names layer '{name}', which the graph does not have. Remove the entry."
        )
    for layer in layers:
        _check_layer(place, plan, layer, target)


def _check_layer(place: str, plan: Plan, layer: Layer, target: Target) -> None:
    layer_plan = plan.layers.get(layer.name)
    if layer_plan is None:
        raise InputError(
            f"{place}: it says nothing of layer '{layer.name}'. Put its entry back, or choose again."
        )
    precisions = (*target.simulated_formats, *target.float_precisions)
    if layer_plan.precision not in precisions:
        raise InputError(
            f"{place}: layer '{layer.name}' is {layer_plan.precision}, and {target.title} has "
            f"{', '.join(precisions)}. Choose one of them."
        )
    weight = weight_of(layer.node)
    if weight is None or not layer_plan.quantized:
        return
    for value in (weight, *layer.data):
        grid = plan.grid(str(value.name), layer.name)
        if grid is None:
            raise InputError(
                f"{place}: layer '{layer.name}' is {layer_plan.precision}, but '{value.name}', which it "
                "reads, has no grid. Give it one, or keep the layer float with a recipe."
            )
        expected = target.simulated_formats[layer_plan.precision][value is weight]
        if grid.format is not None and not _same_kind(grid.format, expected):
            raise InputError(
                f"{place}: layer '{layer.name}' is {layer_plan.precision}, but '{value.name}', which it "
                f"reads, is {grid.format.name}, wanted {_described(expected)}. Mend one of the two."
            )


def _check_format(place: str, tensor: TensorPlan, target: Target) -> None:
    formats = [pair[tensor.kind == "weight"] for pair in target.formats.values()]
    if target.float16_in_graph and "float16" in target.float_precisions:
        formats.append(FLOAT16)
    number_format = tensor.format
    if number_format is not None and not any(_same_kind(number_format, known) for known in formats):
        choices = " or ".join(_described(known) for known in formats)
        raise InputError(
            f"{place}: tensor '{tensor.tensor}' is {number_format.name}, and {target.title} takes {choices} "
            f"for an {tensor.kind}. Choose again for this target."
        )


def _same_kind(number_format: NumberFormat, expected: NumberFormat) -> bool:
    """Return whether a format is of the expected kind; integers may have other bits."""
    if isinstance(number_format, Integer) and isinstance(expected, Integer):
        return (number_format.signed, number_format.symmetric) == (
            expected.signed,
            expected.symmetric,
        )
    return number_format.name == expected.name


def _described(number_format: NumberFormat) -> str:
    if not isinstance(number_format, Integer):
        return number_format.name
    return f"{'symmetric' if number_format.symmetric else 'asymmetric'} {number_format.name}"


def _check_tensor(place: str, tensor: TensorPlan, graph: Graph) -> None:
    value = graph.values.get(tensor.tensor)
    number_format, params = tensor.format, tensor.params
    if value is None or number_format is None or params is None:
        raise InputError(
            f"{place}: it names tensor '{tensor.tensor}', which the graph does not have. "
            "Remove the entry."
        )
    kind = "weight" if value.is_initializer() else "activation"
    if kind != tensor.kind:
        raise InputError(
            f"{place}: tensor '{tensor.tensor}' is called {tensor.kind} and is an {kind}. "
            "Mend its kind."
        )
    if isinstance(number_format, Integer) and number_format.bits > 16:
        raise InputError(
            f"{place}: tensor '{tensor.tensor}' has the format {number_format.name}, and a grid has 16 "
            "bits at most. Use int8 or uint8."
        )
    if number_format.axis is None:
        return
    sizes = list(value.shape) if value.shape is not None else []
    name, numbers = next(iter(params.arrays().items()))
    if (
        not -len(sizes) <= number_format.axis < len(sizes)
        or sizes[number_format.axis] != numbers.size
    ):
        raise InputError(
            f"{place}: tensor '{tensor.tensor}' of shape {[str(d) for d in sizes]} has "
            f"{numbers.size} {name}s along axis {number_format.axis}. Give one for each index."
        )

"""Float16 rounding of what float16 layers of a mixed plan read, for targets whose graphs hold it."""

__all__ = ["float16_grids", "float16_scales"]

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from quant.choose.placement import Placement
from quant.formats.number_format import Params
from quant.formats.precision import Precision
from quant.formats.short_floats import FLOAT16
from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.tensor_plans import TensorPlan, tensor_key

NO_PARAMS = FLOAT16.parameters(0, 0)

MAX_CHANGE = 2.0**-9
"""Relative change up to which a scale may be rounded to float16: beyond, it is subnormal there."""


def float16_scales(tensors: Mapping[str, TensorPlan]) -> dict[str, TensorPlan]:
    """Return the grids with the scales of activations as float16 holds them.

    A strongly typed graph with float16 layers stores scales in float16; a plan that says the same
    numbers is simulated as it is exported.
    """
    return {key: _rounded(t) if t.kind == "activation" else t for key, t in tensors.items()}


def _rounded(tensor: TensorPlan) -> TensorPlan:
    if not isinstance(tensor.params, Params):
        return tensor
    scale = FLOAT16.fake_quantize(tensor.params.scale)
    if not np.all(np.abs(scale / tensor.params.scale - 1) <= MAX_CHANGE):
        return tensor
    return replace(tensor, params=replace(tensor.params, scale=scale))


def float16_grids(
    graph: Graph, placed: Placement, taken: Mapping[str, TensorPlan]
) -> dict[str, TensorPlan]:
    """Return the tensors and weights that float16 layers read, rounded for them alone.

    Args:
        graph: The prepared graph.
        placed: The precision of each layer.
        taken: Grids that have keys already.

    What such a layer writes is float16 too; where a float32 layer or an output of the network reads
    it, that rounding of 2**-11 is not simulated.
    """
    readers: dict[str, list[tuple[str, int]]] = {}
    for layer in graph.layers:
        if placed.layers[layer.name].precision is not Precision.FLOAT16:
            continue
        weight = weight_of(layer.node)
        for index, value in enumerate(layer.node.inputs):
            if value is not None and (value is weight or value in layer.data):
                readers.setdefault(str(value.name), []).append((layer.name, index))
    plans: dict[str, TensorPlan] = {}
    for name, places in readers.items():
        constant = graph.values[name].is_initializer()
        plan = TensorPlan(
            tensor=name,
            kind="weight" if constant else "activation",
            format=FLOAT16,
            params=NO_PARAMS,
            readers=tuple(places),
            because="a float16 layer reads it",
        )
        plans[tensor_key(plan, {**taken, **plans})] = plan
    return plans

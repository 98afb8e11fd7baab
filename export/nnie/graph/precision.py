"""Translate a plan's precisions to the mapper's compile_mode and its 16-bit layers."""

__all__ = ["MODES", "MapperPrecision", "precision_of"]

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from quant.formats.precision import Precision
from quant.graph.prepared_graph import WEIGHTED
from quant.plan.tensor_plans import Plan

MODES = {
    0: "8 bit everywhere",
    1: "16 bit everywhere",
    2: "8 bit, and 16 bit in the layers that end in _hp",
}

LOW = (Precision.INT8, Precision.FP8)
HIGH = (Precision.INT16, Precision.FLOAT16)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapperPrecision:
    """The precisions that the mapper is given.

    Attributes:
        compile_mode: 0, 1 or 2, as in MODES.
        high: The nodes whose layers get the suffix _hp; none for modes 0 and 1.
        raised: Weighted nodes that the plan leaves float; they get 16 bit, NNIE's nearest.
    """

    compile_mode: int
    high: frozenset[str]
    raised: tuple[str, ...]


def precision_of(plan: Plan, nodes: AbstractSet[str]) -> MapperPrecision:
    """Return the plan's precisions in NNIE's terms; only `nodes` are computed there.

    A layer of 16 bit is "int16" in the plan, or a weighted layer that is "float32" there: NNIE has no
    floats, and would silently compute it in 8 bit. Other float layers (Softmax, Reshape) have no
    grid in the plan and do not affect the choice.
    """
    layers = {name: layer for name, layer in plan.layers.items() if name in nodes}
    high = [name for name, layer in layers.items() if layer.precision in HIGH]
    low = [name for name, layer in layers.items() if layer.precision in LOW]
    raised = tuple(
        name
        for name, layer in layers.items()
        if layer.op in WEIGHTED and layer.precision not in LOW + HIGH
    )
    if not low and (high or raised):
        return MapperPrecision(compile_mode=1, high=frozenset(), raised=raised)
    high_nodes = frozenset([*high, *raised])
    return MapperPrecision(compile_mode=2 if high_nodes else 0, high=high_nodes, raised=raised)

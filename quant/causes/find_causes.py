"""Why a layer loses accuracy: every cause with its evidence in numbers and its remedy.

    kind            evidence                                             remedy
    weight-scale    the median channel's weights are much smaller than   weights = "per-channel"
                    the largest, on one scale
    weight-outlier  a few weights stretch the scale of their channel     weight_observer = "mse"
    outlier         few elements stretch the activation's grid           observer = "percentile"
    saturation      elements beyond the range of the grid                observer = "minmax"
    wasted-range    the grid is wider than the tensor's range            observer = "minmax"
    channels        one channel of the input fills the grid alone        precision = "float"
    shared-grid     another tensor's range is forced on this one         precision = "float"
                    (Concat, Add, pooling, views)
    mixed-head      boxes and scores, say, on one grid before an output  precision = "float"
    tail            small numbers of a softmax or sigmoid become zero    precision = "float"
    first, last     reads the image, or makes the answer                 precision = "float"
    rounding        nothing of the above

Every piece of evidence is a ratio, and has a threshold; its strength is ratio / threshold. The
strongest above 1 is the likely cause. Ties go to the order of the table. A cause in the weight is
dropped where the weight makes under a fifth of the layer's noise, and one in the input where it
does: `quant/analysis/local.py` measures that. A remedy is a line for a recipe, for the layer itself unless
it names another node: the one that makes the activation. Where that one's kernel can only write
integers, the rule for float names both; where a target has one scale or one observer only, the
remedy is float too.
"""

__all__ = ["find_causes", "likely_cause"]

import math
from collections.abc import Sequence
from dataclasses import replace

from quant.analysis.analyse import LayerAnalysis
from quant.analysis.layer_error import LayerError
from quant.causes.cause import Cause
from quant.causes.input_causes import InputEvidence, input_causes, saturation_cause
from quant.causes.place_causes import head_cause, neighbour_causes, place_cause
from quant.causes.weight_causes import weight_causes
from quant.choose.grid_fit import producer_name
from quant.graph.layer import Layer
from quant.graph.layers import source_of
from quant.plan.planned_graph import PlannedGraph
from quant.target.table import TARGETS, Target

COSTLY_DB = 25.0
"""A layer whose own error leaves less than this at the outputs is worth keeping in float."""

LEAST_SHARE = 0.2
"""The least share of a layer's noise that weights, or activations, make to be blamed for it."""

OF_WEIGHT = ("weight-scale", "weight-outlier")
OF_INPUT = ("outlier", "channels", "tail")
OF_PLACE = ("first", "last", "mixed-head")


def likely_cause(
    planned: PlannedGraph, row: LayerError, measured: LayerAnalysis | None = None
) -> str:
    """Return one phrase: the likeliest cause of a layer's error, its evidence, its remedy.

    "rounding noise" when there is no evidence for anything else, with a remedy below COSTLY_DB;
    for a layer that stays float the plan's reason; "not in the graph" for a name that the graph
    does not have. Arguments as of `find_causes`.
    """
    if all(layer.name != row.layer for layer in planned.graph.layers):
        return "not in the graph"
    if not row.precision.quantized:
        text = f"stays {row.precision}"
        return f"{text}: {row.because}" if row.because else text
    return find_causes(planned, row, measured)[0].words


def find_causes(
    planned: PlannedGraph, row: LayerError, measured: LayerAnalysis | None = None
) -> list[Cause]:
    """Return every cause with evidence, the likeliest first; "rounding" where there is none.

    [] for a layer that stays float or that the graph does not have.

    Args:
        planned: The graph with the plan that was simulated, and its profile.
        row: The layer's row of the layer table.
        measured: The layer's analysis, or None; without it no cause is dropped.
    """
    graph, plan = planned.graph, planned.plan
    layer = next((x for x in graph.layers if x.name == row.layer), None)
    if layer is None or not row.precision.quantized:
        return []
    inputs = _inputs(planned, layer)
    candidates: list[Cause | None] = list(weight_causes(graph, plan, layer))
    for evidence in inputs:
        candidates += input_causes(graph, layer, evidence)
    candidates += [saturation_cause(graph, inputs, row)]
    for evidence in inputs:
        candidates += neighbour_causes(planned, layer, evidence)
    candidates += [head_cause(planned, layer), place_cause(graph, layer)]
    causes = [c for c in candidates if c is not None and _has_share(c, measured)]
    target = TARGETS[plan.target] if plan.target in set(TARGETS) else None
    if target is not None:
        causes = [_possible(c, target, layer) for c in causes]
        causes = [_with_maker(c, target, planned, inputs) for c in causes]
    causes.sort(key=lambda c: -c.strength)  # stable: ties stay in the order of the table
    return causes or [_rounding(row)]


def _possible(cause: Cause, target: Target, layer: Layer) -> Cause:
    """Return the cause with float as its remedy where the target leaves no choice of scales or observers."""
    fixed = cause.key == "observer" and target.observers and cause.value not in target.observers
    scale = cause.key == "weights" and (layer.op in target.per_tensor_ops or target.grid_per_group)
    if not (fixed or scale):
        return cause
    return replace(cause, key="precision", value="float", place=layer.name, here=True)


def _with_maker(
    cause: Cause, target: Target, planned: PlannedGraph, inputs: Sequence[InputEvidence]
) -> Cause:
    """Return the cause with the maker of a bad input in float too, if its kernel only writes integers."""
    if cause.kind not in OF_INPUT or (cause.key, cause.value) != ("precision", "float"):
        return cause
    graph = planned.graph
    for evidence in inputs:
        maker = producer_name(graph, evidence.grid.tensor)
        node = next((n for n in graph.nodes if str(n.name) == maker), None)
        layer_plan = planned.plan.layers.get(maker)
        if (
            node is not None
            and layer_plan is not None
            and layer_plan.quantized
            and node.op_type in target.integer_output_ops
        ):
            return replace(cause, also=(maker,))
    return cause


def _inputs(planned: PlannedGraph, layer: Layer) -> list[InputEvidence]:
    """Return the layer's inputs that it reads on a grid, each once."""
    inputs: dict[str, InputEvidence] = {}
    for value in layer.data:
        grid = planned.plan.grid(str(value.name), layer.name)
        statistics = planned.profile.tensors.get(source_of(planned.graph, str(value.name)))
        if grid is None or grid.format is None:
            continue
        if statistics is None or statistics.low > statistics.high:
            continue
        inputs.setdefault(grid.tensor, InputEvidence(grid, statistics))
    return list(inputs.values())


def _has_share(cause: Cause, measured: LayerAnalysis | None) -> bool:
    """Return whether the half of the layer that a cause is in makes enough of its noise."""
    share = measured.weight_share if measured is not None else float("nan")
    if math.isnan(share) or cause.kind in OF_PLACE:
        return True
    return (share if cause.kind in OF_WEIGHT else 1 - share) >= LEAST_SHARE


def _rounding(row: LayerError) -> Cause:
    if row.isolated_sqnr_db < COSTLY_DB:
        return Cause(
            kind="rounding",
            strength=0.0,
            evidence="rounding noise, more than it can bear",
            key="precision",
            value="float",
            place=row.layer,
        )
    return Cause(kind="rounding", strength=0.0, evidence="rounding noise")

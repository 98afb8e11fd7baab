"""A table of predicted costs in which measured times replace the predictions."""

__all__ = ["with_measured"]

from collections.abc import Iterable
from dataclasses import replace

from quant.common.errors import few
from quant.cost.layer_costs import CostTable
from quant.cost.measured_times import Latency
from quant.formats.precision import Precision


def with_measured(table: CostTable, latency: Latency) -> CostTable:
    """Return the table with measured times, and all other times scaled to them.

    A layer that was not measured takes its predicted time * (measured / predicted), the ratio over
    all measured layers of its precision, or over all measured layers where there is none of its
    precision. Conversions are scaled by the ratio over all measured layers.
    """
    measured = latency.times
    ratios = {
        precision: ratio
        for precision in {p for _, p in table.layers}
        if (ratio := _ratio(table, latency, [k for k in measured if k[1] == precision])) is not None
    }
    overall = _ratio(table, latency, measured) or 1.0
    layers = {}
    for key, cost in table.layers.items():
        if key in measured:
            layers[key] = replace(cost, milliseconds=measured[key], bound="measured")
        else:
            scaled = cost.milliseconds * ratios.get(key[1], overall)
            layers[key] = replace(cost, milliseconds=scaled)
    return replace(
        table,
        layers=layers,
        assumptions=(*table.assumptions, *_told(table, latency, ratios, overall)),
        byte_ms=table.byte_ms * overall,
        convert_ms=table.convert_ms * overall,
    )


def _ratio(
    table: CostTable, latency: Latency, keys: Iterable[tuple[str, Precision]]
) -> float | None:
    """Return measured / predicted over some layers; None where their predicted times are 0."""
    chosen = list(keys)
    predicted = sum(table.layers[key].milliseconds for key in chosen)
    return sum(latency.times[key] for key in chosen) / predicted if predicted else None


def _told(
    table: CostTable, latency: Latency, ratios: dict[Precision, float], overall: float
) -> list[str]:
    """Return the sentences about measured layers and about those that were scaled."""
    names = len({name for name, _ in table.layers})
    sentences = []
    for precision in sorted(ratios):
        count = sum(p == precision for _, p in latency.times)
        sentences.append(
            f"{count} of {names} layers were measured in {precision} ({latency.path}): "
            f"{ratios[precision]:.3g} times the prediction; the other layers are scaled by that."
        )
    others = sorted({p for _, p in table.layers} - set(ratios))
    if others:
        sentences.append(
            f"No layer was measured in {', '.join(others)}: these predictions, and conversions, are "
            f"scaled by {overall:.3g}, the ratio over all measured layers."
        )
    if latency.others:
        spent = sum(latency.others.values())
        sentences.append(
            f"Rows of {latency.path} that are not a layer of the model, {spent:.4g} ms in all, are "
            f"left out: {few(latency.others, 3)}."
        )
    return sentences

"""Measured: a table of predicted costs with the times that a user measured in their places."""

__all__ = ["with_measured"]

from collections.abc import Iterable
from dataclasses import replace

from quant.common.errors import few
from quant.cost.layer_costs import CostTable
from quant.cost.measured_times import Latency
from quant.formats.precision import Precision


def with_measured(table: CostTable, latency: Latency) -> CostTable:
    """Return the table with measured times; the rest of it is scaled to them.

    A layer that was not measured takes its predicted time * measured / predicted, over all layers
    that were measured at its precision, or at any where none was at that. Conversions are scaled
    by the ratio over all.
    """
    measured = latency.times
    ratios = {
        precision: ratio
        for precision in {p for _, p in table.layers}
        if (ratio := _ratio(table, latency, [k for k in measured if k[1] == precision])) is not None
    }
    every = _ratio(table, latency, measured) or 1.0
    layers = {}
    for key, cost in table.layers.items():
        if key in measured:
            layers[key] = replace(cost, milliseconds=measured[key], bound="measured")
        else:
            scaled = cost.milliseconds * ratios.get(key[1], every)
            layers[key] = replace(cost, milliseconds=scaled)
    return replace(
        table,
        layers=layers,
        assumptions=(*table.assumptions, *_told(table, latency, ratios, every)),
        byte_ms=table.byte_ms * every,
        convert_ms=table.convert_ms * every,
    )


def _ratio(
    table: CostTable, latency: Latency, keys: Iterable[tuple[str, Precision]]
) -> float | None:
    """Return measured / predicted over some layers; None where nothing was predicted of them."""
    chosen = list(keys)
    predicted = sum(table.layers[key].milliseconds for key in chosen)
    return sum(latency.times[key] for key in chosen) / predicted if predicted else None


def _told(
    table: CostTable, latency: Latency, ratios: dict[Precision, float], every: float
) -> list[str]:
    """Return the sentences about what was measured and what was not."""
    names = len({name for name, _ in table.layers})
    told = []
    for precision in sorted(ratios):
        count = sum(p == precision for _, p in latency.times)
        told.append(
            f"{count} of {names} layers were measured in {precision} ({latency.path}): "
            f"{ratios[precision]:.3g} times the prediction, by which the others are scaled."
        )
    others = sorted({p for _, p in table.layers} - set(ratios))
    if others:
        told.append(
            f"No layer was measured in {', '.join(others)}: the predictions are scaled by "
            f"{every:.3g}, as all that was measured, and so are conversions."
        )
    if latency.others:
        spent = sum(latency.others.values())
        told.append(
            f"Rows of {latency.path} that are no layer of the model, {spent:.4g} ms in all, are left "
            f"out: {few(latency.others, 3)}."
        )
    return told

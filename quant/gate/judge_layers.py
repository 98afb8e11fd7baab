"""Judge layers: limits that each row of the layer table must keep."""

__all__ = ["judge_layers"]

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase

from quant.common.errors import InputError
from quant.gate.evidence import Evidence
from quant.gate.limits import Judged, Limit

COLUMNS: Mapping[str, str] = {
    "layer_sqnr_db": "isolated_sqnr_db",
    "layer_cumulative_db": "cumulative_sqnr_db",
}


def judge_layers(limit: Limit, seen: Evidence) -> list[Judged]:
    """Return each layer's number against the limit; a quantized layer without one fails.

    Raises:
        InputError: The limit's glob matches no layer.
    """
    if seen.unfair and limit.measure.startswith("baseline_"):
        return [Judged(outcome="undecided", value=math.nan, because=seen.unfair)]
    if limit.measure == "baseline_layer_loss_db":
        values = dict(seen.losses)
    else:
        column = COLUMNS[limit.measure]
        rows = [r for r in seen.layers if not r.precision.startswith("float")]
        values = {r.layer: float(getattr(r, column)) for r in rows}
    if not values:
        why = f"not measured. {limit.about.missing}"
        return [Judged(outcome="fail", value=math.nan, because=why)]
    chosen = {n: v for n, v in values.items() if fnmatchcase(n, limit.layer)}
    if not chosen:
        raise InputError(
            f"{limit.place}: layer '{limit.layer}' matches none of the {len(values)} quantized "
            f"layers of {seen.place}, for example '{next(iter(values))}'. Mend the pattern."
        )
    return [_judged(limit, name, value) for name, value in chosen.items()]


def _judged(limit: Limit, name: str, value: float) -> Judged:
    inside = value <= limit.bound if limit.about.bounded == "max" else value >= limit.bound
    return Judged(
        outcome="pass" if inside else "fail",  # a comparison with nan is false
        value=value,
        low=value,
        high=value,
        part=f"layer '{name}'",
        because="not measured" if math.isnan(value) else "",
    )

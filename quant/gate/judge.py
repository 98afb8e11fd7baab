"""Judge: one limit against what was measured of one target."""

__all__ = ["judge", "judge_each_layer", "paired_counts"]

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.compare.sample_table import SampleTable
from quant.gate.blame import faulty_layers
from quant.gate.config_file import Slice
from quant.gate.decide import decide_drop, decide_mean, decide_share, decide_sqnr
from quant.gate.evidence import Evidence
from quant.gate.limits import RANK, Decision, Limit, LimitResult
from quant.gate.paired_test import Paired, mcnemar, wilson

COLUMNS: Mapping[str, str] = {
    "layer_sqnr_db": "isolated_sqnr_db",
    "layer_cumulative_db": "cumulative_sqnr_db",
}


def judge_each_layer(limit: Limit, seen: Evidence) -> list[Decision]:
    """Return each layer's number against the limit; a quantized layer without one fails.

    Raises:
        InputError: The limit's glob matches no layer.
    """
    if seen.unfair and limit.measure.startswith("baseline_"):
        return [Decision(outcome="undecided", value=math.nan, because=seen.unfair)]
    if limit.measure == "baseline_layer_loss_db":
        values = dict(seen.losses)
    else:
        column = COLUMNS[limit.measure]
        rows = [r for r in seen.layers if not r.precision.startswith("float")]
        values = {r.layer: float(getattr(r, column)) for r in rows}
    if not values:
        why = f"not measured. {limit.about.missing}"
        return [Decision(outcome="fail", value=math.nan, because=why)]
    chosen = {n: v for n, v in values.items() if fnmatchcase(n, limit.layer)}
    if not chosen:
        raise InputError(
            f"{limit.place}: layer '{limit.layer}' matches none of the {len(values)} quantized "
            f"layers of {seen.place}, for example '{next(iter(values))}'. Mend the pattern."
        )
    return [_judged(limit, name, value) for name, value in chosen.items()]


def _judged(limit: Limit, name: str, value: float) -> Decision:
    inside = value <= limit.bound if limit.about.bounded == "max" else value >= limit.bound
    return Decision(
        outcome="pass" if inside else "fail",  # a comparison with nan is false
        value=value,
        low=value,
        high=value,
        part=f"layer '{name}'",
        because="not measured" if math.isnan(value) else "",
    )


F64 = NDArray[np.float64]


OUTCOMES = (0.0, 1.0)
"""Scores of right and wrong; only they have an exact test."""


def judge(
    limit: Limit, seen: Evidence, slices: Mapping[str, Slice], level: float | None = None
) -> LimitResult:
    """Return what a limit comes to for a target.

    Args:
        limit: The limit.
        seen: What was measured.
        slices: By name, as the limit may speak of them.
        level: The chance of a wrong verdict in each direction; the limit's own if None.

    Raises:
        InputError: The limit asks for labels, a metric, a layer or a slice that is not there.
    """
    if limit.about.kind == "number":
        parts = [_number(limit, seen)]
    elif limit.about.kind == "layers":
        parts = judge_each_layer(limit, seen)
    elif limit.measure == "baseline_accuracy_drop":
        parts = [_since(limit, seen, level or limit.level)]
    else:
        parts = _samples(limit, seen, slices, level or limit.level)
    worst = min(parts, key=lambda p: _order(limit, p))
    result = LimitResult(limit=limit, target=seen.target, judged=worst, parts=tuple(parts))
    return (
        result
        if worst.outcome == "pass"
        else replace(result, layers=faulty_layers(limit, worst, seen))
    )


def _order(limit: Limit, part: Decision) -> tuple[int, float]:
    """Return what sorts the worst part first: outcome, then the value."""
    value = part.value if limit.about.bounded == "min" else -part.value
    return RANK[part.outcome], -math.inf if math.isnan(value) else value


def _number(limit: Limit, seen: Evidence) -> Decision:
    """Compare a number of the run as a whole; one that is missing fails."""
    if seen.unfair and limit.measure.startswith("baseline_"):
        return Decision(outcome="undecided", value=math.nan, because=seen.unfair)
    value = seen.numbers.get(limit.measure, math.nan)
    inside = value <= limit.bound if limit.about.bounded == "max" else value >= limit.bound
    why = f"not measured. {limit.about.missing}" if math.isnan(value) else ""
    outcome = "pass" if inside else "fail"  # a comparison with nan is false
    return Decision(outcome=outcome, value=value, low=value, high=value, because=why)  # type: ignore[arg-type]


def _since(limit: Limit, seen: Evidence, level: float) -> Decision:
    """Hold today's right answers against the baseline's, in pairs."""
    if seen.unfair:
        return Decision(outcome="undecided", value=math.nan, because=seen.unfair)
    name = limit.metric or next(iter(seen.before), "")
    if name not in seen.before:
        why = f"not measured. {limit.about.missing}"
        return Decision(outcome="fail", value=math.nan, because=why)
    return decide_drop(seen.before[name], limit.bound, level)


def _samples(
    limit: Limit, seen: Evidence, slices: Mapping[str, Slice], level: float
) -> list[Decision]:
    """Judge every part of the samples by itself."""
    table = seen.table
    if table is None or not len(table):
        why = f"not measured. {limit.about.missing}"
        return [Decision(outcome="fail", value=math.nan, because=why)]
    if limit.part is not None:
        table = _slice(table, slices[limit.part], seen)
    decide = {"agreement": _agreement, "sqnr_db": _sqnr}.get(limit.measure, _score)
    parts = list(_classes(table, limit, seen)) if limit.by == "class" else [("", table)]
    found = []
    for name, rows in parts:
        for judged in decide(limit, seen, rows, level, len(parts)):
            said = ", ".join(x for x in (name, judged.part) if x)
            found.append(replace(judged, part=said))
    return found


def _slice(table: SampleTable, part: Slice, seen: Evidence) -> SampleTable:
    chosen = np.array([part.holds(key) for key in table.keys])
    if not chosen.any():
        raise InputError(
            f"{part.place}: slice '{part.name}' holds none of the {len(table)} samples of "
            f"{seen.place}, for example '{table.keys[0]}'. Mend its match or its file."
        )
    return table.rows(chosen)


def _classes(table: SampleTable, limit: Limit, seen: Evidence) -> Iterator[tuple[str, SampleTable]]:
    if table.labels.min() < 0:
        count = int(np.count_nonzero(table.labels < 0))
        raise InputError(
            f"{limit.place}: a limit by class needs every sample's label, saw {count} of "
            f"{len(table)} samples of {seen.place} without one. Give --labels."
        )
    for label in np.unique(table.labels):
        yield f"class {label}", table.rows(table.labels == label)


def paired_counts(before: F64, after: F64) -> Paired | None:
    """Return the counts of two networks' scores; None where they are not right or wrong."""
    if not (np.isin(before, OUTCOMES).all() and np.isin(after, OUTCOMES).all()):
        return None
    lost, won = int(np.sum(before > after)), int(np.sum(after > before))
    return Paired(samples=len(before), lost=lost, won=won)


def _score(
    limit: Limit, seen: Evidence, rows: SampleTable, level: float, parts: int
) -> list[Decision]:
    """Judge accuracy, or how much of it was lost."""
    name = _metric(limit, seen, rows)
    before, after = rows.float_scores[name], rows.scores[name]
    broken = int(np.count_nonzero(~(np.isfinite(before) & np.isfinite(after))))
    if broken:
        why = f"{broken} of {len(rows)} scores are not finite"
        return [Decision(outcome="fail", value=math.nan, samples=len(rows), because=why)]
    pair = paired_counts(before, after)
    if limit.measure == "accuracy":
        if pair is not None:
            return [decide_share(int(after.sum()), len(rows), limit.bound, level, parts)]
        judged = decide_mean(-after, -limit.bound, level, parts)
        value, low, high = -judged.value, -judged.high, -judged.low
        return [replace(judged, value=value, low=low, high=high)]
    if pair is not None:
        found = decide_drop(pair, limit.bound, level, parts)
        return [replace(found, because=_counts(pair, before, after))]
    sign = 1.0 if rows.better[name] == "higher" else -1.0
    return [decide_mean(sign * (before - after), limit.bound, level, parts)]


def _counts(pair: Paired, before: F64, after: F64) -> str:
    """Return the counts behind a drop, and both accuracies as one knows them apart."""
    n = pair.samples
    low, high = wilson(int(after.sum()), n)
    return (
        f"{pair.lost} lost, {pair.won} won, McNemar's p {mcnemar(pair):.2g}; right: float "
        f"{100 * before.mean():.2f} %, quantized {100 * after.mean():.2f} %, by Wilson "
        f"{100 * low:.2f} to {100 * high:.2f}"
    )


def _metric(limit: Limit, seen: Evidence, rows: SampleTable) -> str:
    name = limit.metric or next(iter(rows.scores), "")
    if name in rows.scores:
        return name
    have = ", ".join(f"'{n}'" for n in rows.scores) or "none, for the samples have no labels"
    raise InputError(
        f"{limit.place}: {limit.measure} needs the metric '{name or 'top1'}' of each sample, and "
        f"{seen.place} has {have}. Give --labels, and --metric for another one."
    )


def _agreement(
    limit: Limit, seen: Evidence, rows: SampleTable, level: float, parts: int
) -> list[Decision]:
    if rows.float_class.max() < 0:
        raise InputError(
            f"{limit.place}: agreement compares classes, and the first output of {seen.place} is "
            "not [samples, classes]. Limit sqnr_db instead."
        )
    hits = int(
        np.count_nonzero((rows.float_class == rows.quantized_class) & (rows.float_class >= 0))
    )
    return [decide_share(hits, len(rows), limit.bound, level, parts)]


def _sqnr(
    limit: Limit, seen: Evidence, rows: SampleTable, level: float, parts: int
) -> list[Decision]:
    """Judge every output that has a row a sample."""
    found = []
    names = [n for n, s in rows.signal.items() if np.isfinite(s).any()]
    for name in names:
        signal, noise = rows.signal[name], rows.noise[name]
        broken = int(np.count_nonzero(~np.isfinite(signal + noise)))
        said = f"output '{name}'" if len(rows.signal) > 1 else ""
        if broken:
            why = f"{broken} of {len(rows)} samples gave numbers that are not finite"
            found.append(
                Decision(
                    outcome="fail", value=math.nan, samples=len(rows), part=said, because=why
                )
            )  # fmt: skip
            continue
        judged = decide_sqnr(signal, noise, limit.bound, level, parts * len(names))
        found.append(replace(judged, part=said))
    why = "no output has one row a sample"
    return found or [Decision(outcome="fail", value=math.nan, because=why)]

"""Judge one limit on what was measured of one target: every part of it, and the layers to blame.

The statistical test of one number is in `quant/gate/decide.py`.
"""

__all__ = ["judge", "judge_layers", "paired_counts"]

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

F64 = NDArray[np.float64]

COLUMNS: Mapping[str, str] = {
    "layer_sqnr_db": "isolated_sqnr_db",
    "layer_cumulative_db": "cumulative_sqnr_db",
}
"""Measure: the column of the layer table that holds it."""

OUTCOMES = (0.0, 1.0)
"""Scores of a metric that says right or wrong; only those have an exact test."""


def judge_layers(limit: Limit, evidence: Evidence) -> list[Decision]:
    """Judge each layer's number; a quantized layer without a number fails.

    Raises:
        InputError: The limit's glob matches no layer.
    """
    if evidence.unfair and limit.measure.startswith("baseline_"):
        return [Decision(outcome="undecided", value=math.nan, because=evidence.unfair)]
    if limit.measure == "baseline_layer_loss_db":
        values = dict(evidence.layer_losses)
    else:
        column = COLUMNS[limit.measure]
        rows = [r for r in evidence.layers if r.precision.quantized]
        values = {r.layer: float(getattr(r, column)) for r in rows}
    if not values:
        why = f"not measured. {limit.kind.missing}"
        return [Decision(outcome="fail", value=math.nan, because=why)]
    chosen = {n: v for n, v in values.items() if fnmatchcase(n, limit.layer)}
    if not chosen:
        raise InputError(
            f"{limit.place}: layer '{limit.layer}' matches none of the {len(values)} quantized "
            f"layers of {evidence.place}, for example '{next(iter(values))}'. Mend the pattern."
        )
    return [_judge_layer(limit, name, value) for name, value in chosen.items()]


def _judge_layer(limit: Limit, name: str, value: float) -> Decision:
    inside = value <= limit.bound if limit.kind.bounded == "max" else value >= limit.bound
    return Decision(
        outcome="pass" if inside else "fail",  # a comparison with nan is false
        value=value,
        low=value,
        high=value,
        part=f"layer '{name}'",
        because="not measured" if math.isnan(value) else "",
    )


def judge(
    limit: Limit, evidence: Evidence, slices: Mapping[str, Slice], level: float | None = None
) -> LimitResult:
    """Judge one limit for one target.

    Args:
        limit: The limit.
        evidence: What was measured of the target.
        slices: The slices that the limit may refer to, by name.
        level: The chance of a wrong pass, and of a wrong fail; None for the limit's own.

    Raises:
        InputError: The limit needs labels, a metric, a layer or a slice that the run lacks.
    """
    if limit.kind.source == "run":
        parts = [_judge_number(limit, evidence)]
    elif limit.kind.source == "layers":
        parts = judge_layers(limit, evidence)
    elif limit.measure == "baseline_accuracy_drop":
        parts = [_judge_baseline(limit, evidence, level or limit.level)]
    else:
        parts = _judge_samples(limit, evidence, slices, level or limit.level)
    worst = min(parts, key=lambda p: _order(limit, p))
    result = LimitResult(limit=limit, target=evidence.target, decision=worst, parts=tuple(parts))
    return (
        result
        if worst.outcome == "pass"
        else replace(result, layers=faulty_layers(limit, worst, evidence))
    )


def _order(limit: Limit, part: Decision) -> tuple[int, float]:
    """Return a sort key, the worst part first: by outcome, then by value."""
    value = part.value if limit.kind.bounded == "min" else -part.value
    return RANK[part.outcome], -math.inf if math.isnan(value) else value


def _judge_number(limit: Limit, evidence: Evidence) -> Decision:
    """Judge a number of the run as a whole; a missing number fails."""
    if evidence.unfair and limit.measure.startswith("baseline_"):
        return Decision(outcome="undecided", value=math.nan, because=evidence.unfair)
    value = evidence.numbers.get(limit.measure, math.nan)
    inside = value <= limit.bound if limit.kind.bounded == "max" else value >= limit.bound
    why = f"not measured. {limit.kind.missing}" if math.isnan(value) else ""
    outcome = "pass" if inside else "fail"  # a comparison with nan is false
    return Decision(outcome=outcome, value=value, low=value, high=value, because=why)  # type: ignore[arg-type]


def _judge_baseline(limit: Limit, evidence: Evidence, level: float) -> Decision:
    """Judge the accuracy lost since the baseline, sample by sample."""
    if evidence.unfair:
        return Decision(outcome="undecided", value=math.nan, because=evidence.unfair)
    name = limit.metric or next(iter(evidence.baseline_pairs), "")
    if name not in evidence.baseline_pairs:
        why = f"not measured. {limit.kind.missing}"
        return Decision(outcome="fail", value=math.nan, because=why)
    return decide_drop(evidence.baseline_pairs[name], limit.bound, level)


def _judge_samples(
    limit: Limit, evidence: Evidence, slices: Mapping[str, Slice], level: float
) -> list[Decision]:
    """Judge each part of the samples: the classes, a slice, the outputs."""
    table = evidence.table
    if table is None or not len(table):
        why = f"not measured. {limit.kind.missing}"
        return [Decision(outcome="fail", value=math.nan, because=why)]
    if limit.part is not None:
        table = _slice(table, slices[limit.part], evidence)
    decide = {"agreement": _agreement, "sqnr_db": _sqnr}.get(limit.measure, _score)
    parts = list(_classes(table, limit, evidence)) if limit.by == "class" else [("", table)]
    decisions = []
    for name, rows in parts:
        for decision in decide(limit, evidence, rows, level, len(parts)):
            part = ", ".join(x for x in (name, decision.part) if x)
            decisions.append(replace(decision, part=part))
    return decisions


def _slice(table: SampleTable, part: Slice, evidence: Evidence) -> SampleTable:
    chosen = np.array([part.holds(key) for key in table.keys])
    if not chosen.any():
        raise InputError(
            f"{part.place}: slice '{part.name}' matches none of the {len(table)} samples of "
            f"{evidence.place}, for example '{table.keys[0]}'. Mend its match or its file."
        )
    return table.rows(chosen)


def _classes(
    table: SampleTable, limit: Limit, evidence: Evidence
) -> Iterator[tuple[str, SampleTable]]:
    if table.labels.min() < 0:
        count = int(np.count_nonzero(table.labels < 0))
        raise InputError(
            f"{limit.place}: a limit by class needs a label for each sample, saw {count} of "
            f"{len(table)} samples of {evidence.place} without one. Give --labels."
        )
    for label in np.unique(table.labels):
        yield f"class {label}", table.rows(table.labels == label)


def paired_counts(before: F64, after: F64) -> Paired | None:
    """Return how often each of two models alone is right; None where scores are not 0 or 1."""
    if not (np.isin(before, OUTCOMES).all() and np.isin(after, OUTCOMES).all()):
        return None
    lost, won = int(np.sum(before > after)), int(np.sum(after > before))
    return Paired(samples=len(before), lost=lost, won=won)


def _score(
    limit: Limit, evidence: Evidence, rows: SampleTable, level: float, parts: int
) -> list[Decision]:
    """Judge the quantized model's accuracy, or its drop against float."""
    name = _metric(limit, evidence, rows)
    before, after = rows.float_scores[name], rows.scores[name]
    broken = int(np.count_nonzero(~(np.isfinite(before) & np.isfinite(after))))
    if broken:
        why = f"{broken} of {len(rows)} scores are not finite"
        return [Decision(outcome="fail", value=math.nan, samples=len(rows), because=why)]
    pair = paired_counts(before, after)
    if limit.measure == "accuracy":
        if pair is not None:
            return [decide_share(int(after.sum()), len(rows), limit.bound, level, parts)]
        decision = decide_mean(-after, -limit.bound, level, parts)
        value, low, high = -decision.value, -decision.high, -decision.low
        return [replace(decision, value=value, low=low, high=high)]
    if pair is not None:
        decision = decide_drop(pair, limit.bound, level, parts)
        return [replace(decision, because=_counts(pair, before, after))]
    sign = 1.0 if rows.better[name] == "higher" else -1.0
    return [decide_mean(sign * (before - after), limit.bound, level, parts)]


def _counts(pair: Paired, before: F64, after: F64) -> str:
    """Return the counts behind a drop, and the accuracy of both models."""
    n = pair.samples
    low, high = wilson(int(after.sum()), n)
    return (
        f"{pair.lost} lost, {pair.won} won, McNemar's p {mcnemar(pair):.2g}; right: float "
        f"{100 * before.mean():.2f} %, quantized {100 * after.mean():.2f} % (Wilson interval "
        f"{100 * low:.2f} to {100 * high:.2f} %)"
    )


def _metric(limit: Limit, evidence: Evidence, rows: SampleTable) -> str:
    name = limit.metric or next(iter(rows.scores), "")
    if name in rows.scores:
        return name
    have = ", ".join(f"'{n}'" for n in rows.scores) or "none, because the samples have no labels"
    raise InputError(
        f"{limit.place}: {limit.measure} needs the metric '{name or 'top1'}' of each sample, and "
        f"{evidence.place} has {have}. Give --labels, and --metric for another one."
    )


def _agreement(
    limit: Limit, evidence: Evidence, rows: SampleTable, level: float, parts: int
) -> list[Decision]:
    if rows.float_class.max() < 0:
        raise InputError(
            f"{limit.place}: agreement compares classes, and the first output of {evidence.place} is "
            "not [samples, classes]. Limit sqnr_db instead."
        )
    hits = int(
        np.count_nonzero((rows.float_class == rows.quantized_class) & (rows.float_class >= 0))
    )
    return [decide_share(hits, len(rows), limit.bound, level, parts)]


def _sqnr(
    limit: Limit, evidence: Evidence, rows: SampleTable, level: float, parts: int
) -> list[Decision]:
    """Judge the SQNR of each output that has one row per sample."""
    decisions = []
    names = [n for n, s in rows.signal.items() if np.isfinite(s).any()]
    for name in names:
        signal, noise = rows.signal[name], rows.noise[name]
        broken = int(np.count_nonzero(~np.isfinite(signal + noise)))
        part = f"output '{name}'" if len(rows.signal) > 1 else ""
        if broken:
            why = f"{broken} of {len(rows)} samples gave numbers that are not finite"
            decisions.append(
                Decision(
                    outcome="fail", value=math.nan, samples=len(rows), part=part, because=why
                )
            )  # fmt: skip
            continue
        decision = decide_sqnr(signal, noise, limit.bound, level, parts * len(names))
        decisions.append(replace(decision, part=part))
    why = "no output has one row per sample"
    return decisions or [Decision(outcome="fail", value=math.nan, because=why)]

"""The verdict over two models and a data set, on all samples at once or sequentially."""

__all__ = ["gate_models"]

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from quant.common.errors import InputError
from quant.common.progress import Progress
from quant.compare.sample_table import SampleTable, joined
from quant.gate.config_file import Gate
from quant.gate.evidence import Evidence
from quant.gate.judge import judge
from quant.gate.limits import Decision, Limit, LimitResult, Verdict
from quant.gate.sequential import levels, looks
from quant.gate.two_models import OpenModels, TwoModels


def gate_models(models: TwoModels, gate: Gate, progress: Progress | None = None) -> Verdict:
    """Return the verdict over a quantized model from any quantizer, compared with its reference.

    Raises:
        InputError: A model, the data, the labels or a limit is wrong.
        UnsupportedError: A runtime refuses a model, or is not installed.
    """
    progress = progress or Progress(quiet=True)
    _refuse_run_measures(gate)
    pair = OpenModels.open(models, progress)
    pair.must_fit()
    bounds = looks(len(pair.order)) if models.sequential else [len(pair.order)]
    shares = {limit: _shares(limit, bounds) for limit in gate.limits}
    results: dict[Limit, LimitResult] = {}
    parts: list[SampleTable] = []
    evidence = Evidence(target=models.candidate.name, place=str(models.candidate))
    for look, (start, end) in enumerate(pairwise([0, *bounds])):
        parts.append(pair.answers(start, end))
        evidence = replace(evidence, table=joined(parts))
        for limit in gate.limits:
            open_ = limit not in results or results[limit].outcome == "undecided"
            if open_ and shares[limit][look]:
                results[limit] = judge(limit, evidence, gate.slices, shares[limit][look])
        outcomes = [
            results[limit].outcome if limit in results else "undecided" for limit in gate.limits
        ]
        if "fail" in outcomes or "undecided" not in outcomes:
            break
    notes = []
    if models.sequential:
        count = f"{look + 1} look{'s' * (look > 0)}"
        notes.append(f"sequential: stopped after {end} of {bounds[-1]} samples, in {count}")
    if end < bounds[-1]:
        decided = {x for x, r in results.items() if r.outcome != "undecided"}
        results |= {x: _stopped(x, evidence.target) for x in gate.limits if x not in decided}
    if evidence.table is not None and evidence.table.copies:
        notes.append(evidence.table.copies)
    if bad := dict(pair.bad):
        key, why = next(iter(bad.items()))
        notes.append(f"{len(bad)} samples could not be read, the first of them '{key}' ({why})")
    in_order = tuple(results[limit] for limit in gate.limits)
    if any(r.outcome != "pass" for r in in_order) and (named := pair.faulty_layers()):
        in_order = tuple(r if r.outcome == "pass" else replace(r, layers=named) for r in in_order)
    return Verdict(subject=models.candidate.name, results=in_order, notes=tuple(notes))


def _shares(limit: Limit, bounds: Sequence[int]) -> list[float]:
    """Return the error level of each look; a limit on a part of the samples has only the last look.

    An early look may hold no sample of a class or a slice, and must not pass it.
    """
    if limit.by is None and limit.part is None:
        return levels(bounds, limit.level)
    return [0.0] * (len(bounds) - 1) + [limit.level]


def _stopped(limit: Limit, target: str) -> LimitResult:
    """Return the result of a limit that was still open when another limit failed."""
    why = "not decided: another limit failed, and the gate stopped"
    decision = Decision(outcome="undecided", value=math.nan, because=why)
    return LimitResult(limit=limit, target=target, decision=decision)


def _refuse_run_measures(gate: Gate) -> None:
    for limit in gate.limits:
        if limit.kind.source != "samples" or limit.measure.startswith("baseline_"):
            raise InputError(
                f"{limit.place}: {limit.measure} is measured by a run; two models are judged by their "
                "answers only. Give --run, or remove the limit."
            )

"""Gate models: a gate over two models and the data to judge them on, all at once or in looks."""

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


def gate_models(contest: TwoModels, gate: Gate, progress: Progress | None = None) -> Verdict:
    """Return the verdict over a quantized model that anybody made.

    Raises:
        InputError: A model, the data, the labels or a limit is wrong.
        UnsupportedError: A runtime refuses a model, or is not installed.
    """
    progress = progress or Progress(quiet=True)
    _refuse_kinds(gate)
    trial = OpenModels.open(contest, progress)
    trial.must_fit()
    bounds = looks(len(trial.order)) if contest.sequential else [len(trial.order)]
    shares = {limit: _shares(limit, bounds) for limit in gate.limits}
    done: dict[Limit, LimitResult] = {}
    parts: list[SampleTable] = []
    evidence = Evidence(target=contest.candidate.name, place=str(contest.candidate))
    for turn, (start, end) in enumerate(pairwise([0, *bounds])):
        parts.append(trial.answers(start, end))
        evidence = replace(evidence, table=joined(parts))
        for limit in gate.limits:
            open_ = limit not in done or done[limit].outcome == "undecided"
            if open_ and shares[limit][turn]:
                done[limit] = judge(limit, evidence, gate.slices, shares[limit][turn])
        found = [done[limit].outcome if limit in done else "undecided" for limit in gate.limits]
        if "fail" in found or "undecided" not in found:
            break
    notes = []
    if contest.sequential:
        notes.append(f"sequential: looked at {end} of {bounds[-1]} samples, in {turn + 1} looks")
    if end < bounds[-1]:
        decided = {x for x, r in done.items() if r.outcome != "undecided"}
        done |= {x: _stopped(x, evidence.target) for x in gate.limits if x not in decided}
    if evidence.table is not None and evidence.table.copies:
        notes.append(evidence.table.copies)
    if bad := dict(trial.bad):
        key, why = next(iter(bad.items()))
        notes.append(
            f"left out, for they cannot be read: {len(bad)} samples, first '{key}' ({why})"
        )
    results = tuple(done[limit] for limit in gate.limits)
    if any(r.outcome != "pass" for r in results) and (named := trial.suspects()):
        results = tuple(r if r.outcome == "pass" else replace(r, layers=named) for r in results)
    return Verdict(subject=contest.candidate.name, results=results, notes=tuple(notes))


def _shares(limit: Limit, bounds: Sequence[int]) -> list[float]:
    """Return what each look may spend; nothing before the last for a part of the samples.

    A class or a slice may lie wholly behind an early look, which must not pass it.
    """
    if limit.by is None and limit.part is None:
        return levels(bounds, limit.level)
    return [0.0] * (len(bounds) - 1) + [limit.level]


def _stopped(limit: Limit, target: str) -> LimitResult:
    """Return what a limit came to that was open when another one failed and the gate stopped."""
    why = "not decided: another limit failed, and the gate stopped"
    judged = Decision(outcome="undecided", value=math.nan, because=why)
    return LimitResult(limit=limit, target=target, judged=judged)


def _refuse_kinds(gate: Gate) -> None:
    for limit in gate.limits:
        if limit.about.kind != "samples" or limit.measure.startswith("baseline_"):
            raise InputError(
                f"{limit.place}: {limit.measure} is of a run, and two models have only what their "
                "answers show. Give --run, or remove the limit."
            )

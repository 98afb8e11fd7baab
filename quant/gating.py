"""Gating: a gate over the folder of a run, or over two models and the data to judge them on."""

__all__ = [
    "chosen_gate",
    "gate_models",
    "gate_run",
    "keep_baseline",
    "quick_limits",
]

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

from quant.baseline import Baseline, load_baseline, save_baseline, with_baseline
from quant.errors import InputError
from quant.evidence import Evidence
from quant.gate import Judged, Limit, Result, Verdict
from quant.gate_file import Gate, load_gate
from quant.gate_rules import limit_of
from quant.judge import judge
from quant.run_evidence import read_run
from quant.samples import SampleTable, joined
from quant.sequential import levels, looks
from quant.talk import Talk
from quant.trial import Contest, Trial

QUICK: Mapping[str, str] = {
    "max_drop": "accuracy_drop",
    "min_agreement": "agreement",
    "min_sqnr": "sqnr_db",
}
SINCE: Mapping[str, float] = {
    "baseline_accuracy_drop": 0.01,
    "baseline_sqnr_loss_db": 1.0,
    "baseline_size_growth": 0.02,
}
"""What a baseline holds a run to where the gate's file says nothing of baselines."""


def quick_limits(options: Mapping[str, float | None]) -> tuple[Limit, ...]:
    """Return the limits that flags name: max_drop, min_agreement and min_sqnr.

    Raises:
        InputError: The number is none, or nothing could show it.
    """
    given = {flag: value for flag in QUICK if (value := options.get(flag)) is not None}
    return tuple(
        limit_of({"measure": QUICK[flag], flag[:3]: value}, f"--{flag.replace('_', '-')}", ())
        for flag, value in given.items()
    )


def chosen_gate(
    config: Path | None,
    quick: Sequence[Limit],
    changes: Mapping[str, Any],
    *,
    needed: bool = True,
) -> Gate:
    """Return the gate of a file and of flags.

    Args:
        config: TOML; None for gate.toml or a pyproject.toml with [tool.quant.gate] in the current
            folder, where no flag is a limit.
        quick: Limits of flags.
        changes: `confidence` and `undecided`, which go before the file's; None leaves them.
        needed: False lets a gate without any limit through: a baseline has its own.

    Raises:
        InputError: There is neither a file nor a flag, or the file is wrong.
    """
    if config is None and not quick:
        pyproject = Path("pyproject.toml")
        if Path("gate.toml").exists():
            config = Path("gate.toml")
        elif pyproject.exists() and "tool.quant.gate" in pyproject.read_text(encoding="utf-8"):
            config = pyproject
        elif needed:
            raise InputError(
                "quant gate: it needs limits, and there is no gate.toml here and no "
                "[tool.quant.gate] in a pyproject.toml. Give --config FILE, or --max-drop 0.01."
            )
    gate = load_gate(config) if config is not None else Gate()
    given = {k: v for k, v in changes.items() if v is not None}
    limits = tuple(replace(limit, **given) for limit in (*gate.limits, *quick))
    return replace(gate, limits=limits)


def gate_run(folder: Path, gate: Gate, baseline: Path | None = None) -> Verdict:
    """Return the verdict over a run.

    Args:
        folder: The `--out` of `quant calibrate`.
        gate: The limits.
        baseline: A file to hold the run against, or None.

    Raises:
        InputError: The folder, the baseline or a limit is wrong.
    """
    run = read_run(folder, gate.judge)
    seen, notes = dict(run.targets), list[str]()
    limits = gate.limits
    if baseline is not None:
        seen, notes = with_baseline(run, load_baseline(baseline))
        if not any(limit.measure in SINCE for limit in limits):
            limits += tuple(
                Limit(measure=name, bound=bound, place=str(baseline))
                for name, bound in SINCE.items()
                if name != "baseline_accuracy_drop" or any(e.before for e in seen.values())
            )
    results: list[Result] = []
    for limit in limits:
        for evidence in _meant(limit, seen, folder):
            results.append(judge(limit, evidence, gate.slices))
    return Verdict(
        subject=str(run.facts["model"]["name"]), results=tuple(results), notes=tuple(notes)
    )


def keep_baseline(folder: Path, gate: Gate, path: Path) -> None:
    """Write a run's numbers as the baseline of later ones."""
    save_baseline(Baseline.of(read_run(folder, gate.judge)), path)


def _meant(limit: Limit, seen: Mapping[str, Evidence], folder: Path) -> list[Evidence]:
    found = [e for name, e in seen.items() if fnmatchcase(name, limit.target)]
    if not found:
        raise InputError(
            f"{limit.place}: target '{limit.target}' matches none of {folder}: "
            f"{', '.join(seen) or 'it has none'}. Mend the pattern, or remove the limit."
        )
    return found


def gate_models(contest: Contest, gate: Gate, talk: Talk | None = None) -> Verdict:
    """Return the verdict over a quantized model that anybody made.

    Raises:
        InputError: A model, the data, the labels or a limit is wrong.
        UnsupportedError: A runtime refuses a model, or is not installed.
    """
    talk = talk or Talk(quiet=True)
    _refuse_kinds(gate)
    trial = Trial.open(contest, talk)
    trial.must_fit()
    bounds = looks(len(trial.order)) if contest.sequential else [len(trial.order)]
    shares = {limit: _shares(limit, bounds) for limit in gate.limits}
    done: dict[Limit, Result] = {}
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


def _stopped(limit: Limit, target: str) -> Result:
    """Return what a limit came to that was open when another one failed and the gate stopped."""
    why = "not decided: another limit failed, and the gate stopped"
    judged = Judged(outcome="undecided", value=math.nan, because=why)
    return Result(limit=limit, target=target, judged=judged)


def _refuse_kinds(gate: Gate) -> None:
    for limit in gate.limits:
        if limit.about.kind != "samples" or limit.measure.startswith("baseline_"):
            raise InputError(
                f"{limit.place}: {limit.measure} is of a run, and two models have only what their "
                "answers show. Give --run, or remove the limit."
            )

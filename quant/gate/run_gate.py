"""Gating: the gate of files and flags, and what it says of the folder of a run."""

__all__ = [
    "chosen_gate",
    "gate_run",
    "keep_baseline",
    "quick_limits",
]

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from quant.common.errors import InputError
from quant.gate.baseline import Baseline, load_baseline, save_baseline, with_baseline
from quant.gate.config_file import Gate, limit_of, load_gate
from quant.gate.evidence import Evidence, read_run
from quant.gate.judge import judge
from quant.gate.limits import Limit, LimitResult, Verdict

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
    results: list[LimitResult] = []
    for limit in limits:
        for evidence in _meant(limit, seen, folder):
            results.append(judge(limit, evidence, gate.slices))
    notes += dict.fromkeys(e.table.copies for e in seen.values() if e.table and e.table.copies)
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

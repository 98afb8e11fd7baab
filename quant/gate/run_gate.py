"""The verdict over a run's folder: limits from a file, from flags and from a baseline."""

__all__ = ["chosen_gate", "gate_run", "limits_of_flags", "write_baseline"]

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

FLAG_MEASURES: Mapping[str, str] = {
    "max_drop": "accuracy_drop",
    "min_agreement": "agreement",
    "min_sqnr": "sqnr_db",
}
BASELINE_BOUNDS: Mapping[str, float] = {
    "baseline_accuracy_drop": 0.01,
    "baseline_sqnr_loss_db": 1.0,
    "baseline_size_growth": 0.02,
}
"""The limits of a comparison with a baseline where the gate's file has none of them."""


def limits_of_flags(options: Mapping[str, float | str | None]) -> tuple[Limit, ...]:
    """Return the limits of the flags max_drop, min_agreement and min_sqnr.

    Raises:
        InputError: A value is not a finite number, or no sample could ever show that it holds.
    """
    given = {flag: value for flag in FLAG_MEASURES if (value := options.get(flag)) is not None}
    return tuple(
        limit_of(
            {"measure": FLAG_MEASURES[flag], flag[:3]: value}, f"--{flag.replace('_', '-')}", ()
        )
        for flag, value in given.items()
    )


def chosen_gate(
    config: Path | None,
    flags: Sequence[Limit],
    overrides: Mapping[str, Any],
    *,
    needed: bool = True,
) -> Gate:
    """Return one gate from the limits of a file and of flags.

    Args:
        config: TOML file. None takes gate.toml, or a pyproject.toml with [tool.quant.gate], from the
            current folder, unless a flag is a limit.
        flags: Limits of flags.
        overrides: `confidence` and `undecided`, which take precedence over the file's values; None
            keeps the file's.
        needed: False accepts a gate without limits, for a comparison with a baseline.

    Raises:
        InputError: There is neither a file nor a flag, or the file is wrong.
    """
    if config is None and not flags:
        pyproject = Path("pyproject.toml")
        if Path("gate.toml").exists():
            config = Path("gate.toml")
        elif pyproject.exists() and "tool.quant.gate" in pyproject.read_text(encoding="utf-8"):
            config = pyproject
        elif needed:
            raise InputError(
                "quant gate: a gate needs limits, saw no gate.toml here and no [tool.quant.gate] in "
                "a pyproject.toml. Give --config FILE, or --max-drop 0.01."
            )
    gate = load_gate(config) if config is not None else Gate()
    overrides = {k: v for k, v in overrides.items() if v is not None}
    limits = tuple(replace(limit, **overrides) for limit in (*gate.limits, *flags))
    return replace(gate, limits=limits)


def gate_run(folder: Path, gate: Gate, baseline: Path | None = None) -> Verdict:
    """Return the verdict over a run.

    Args:
        folder: The `--out` of `quant calibrate`.
        gate: The limits.
        baseline: File with the numbers of an earlier run to compare with, or None.

    Raises:
        InputError: The folder, the baseline or a limit is wrong.
    """
    run = read_run(folder, gate.judge)
    targets, notes = dict(run.targets), list[str]()
    limits = gate.limits
    if baseline is not None:
        targets, notes = with_baseline(run, load_baseline(baseline))
        if not any(limit.measure in BASELINE_BOUNDS for limit in limits):
            limits += tuple(
                Limit(measure=name, bound=bound, place=str(baseline))
                for name, bound in BASELINE_BOUNDS.items()
                if name != "baseline_accuracy_drop"
                or any(e.baseline_pairs for e in targets.values())
            )
    results: list[LimitResult] = []
    for limit in limits:
        for evidence in _matching(limit, targets, folder):
            results.append(judge(limit, evidence, gate.slices))
    notes += dict.fromkeys(e.table.copies for e in targets.values() if e.table and e.table.copies)
    return Verdict(
        subject=str(run.facts["model"]["name"]), results=tuple(results), notes=tuple(notes)
    )


def write_baseline(folder: Path, gate: Gate, path: Path) -> None:
    """Write a run's numbers as the baseline of later runs."""
    save_baseline(Baseline.of(read_run(folder, gate.judge)), path)


def _matching(limit: Limit, targets: Mapping[str, Evidence], folder: Path) -> list[Evidence]:
    """Return the evidence of the targets that a limit applies to."""
    matching = [e for name, e in targets.items() if fnmatchcase(name, limit.target)]
    if not matching:
        raise InputError(
            f"{limit.place}: target '{limit.target}' matches none of {folder}: "
            f"{', '.join(targets) or 'no target'}. Mend the pattern, or remove the limit."
        )
    return matching

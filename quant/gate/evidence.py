"""What was measured of each target, read from a run's folder, for limits to be judged on.

A run's folder is accepted only where its files belong together: the plan is the one that was
measured, and the sample tables have as many rows as run.json says.
"""

__all__ = ["Evidence", "RunFiles", "read_run"]

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quant.analysis.layer_error import LayerError, read_layers
from quant.common.errors import InputError, reason_of
from quant.common.files import read_json
from quant.compare.sample_table import SampleTable, read_samples
from quant.gate.paired_test import Paired

AGAIN = "Run quant calibrate again"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was measured of one quantized model.

    Attributes:
        target: Name of the target, or of the model.
        place: The folder or file the numbers come from, for messages.
        table: The answers of the float and the quantized model to each sample; None where no sample
            was measured.
        numbers: Numbers of the run as a whole, by measure; a measure that was not taken is missing.
        layers: The layer table; empty where there is none.
        baseline_pairs: By metric, the right answers of the baseline and of this run, counted in
            pairs; empty without a baseline of the same samples.
        layer_losses: By layer, the baseline's isolated SQNR minus this run's, in dB.
        unfair: Why a comparison with the baseline would be unfair; "" where it is fair.
    """

    target: str
    place: str
    table: SampleTable | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    layers: tuple[LayerError, ...] = ()
    baseline_pairs: Mapping[str, Paired] = field(default_factory=dict)
    layer_losses: Mapping[str, float] = field(default_factory=dict)
    unfair: str = ""


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """The folder of a run, read for a gate.

    Attributes:
        folder: Its path.
        facts: Content of `run.json`.
        targets: Evidence by name of the target.
    """

    folder: Path
    facts: Mapping[str, Any]
    targets: Mapping[str, Evidence]

    def plan(self, target: str) -> str:
        """Return the SHA-256 of a target's plan, 64 hex digits."""
        return _sha256(self.folder / target / "plan.json")


def read_run(folder: Path, judge: str = "integer") -> RunFiles:
    """Read what a run measured.

    Args:
        folder: The `--out` of `quant calibrate`.
        judge: "integer": take the answers of the integer run where the runtime was installed;
            "simulated": take those of the simulation in any case.

    Raises:
        InputError: The folder holds no run, or its files do not belong together.
    """
    if not (folder / "run.json").exists():
        raise InputError(
            f"{folder}: the folder of a run holds a run.json, saw none. Give --run the --out folder "
            "of quant calibrate."
        )
    facts = read_json(folder / "run.json", "run", AGAIN)
    times = folder / "timing.json"
    timing = read_json(times, "table of times", AGAIN) if times.exists() else {}
    try:
        targets = {
            name: _evidence(folder, name, target_facts, timing, judge)
            for name, target_facts in facts["targets"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder / 'run.json'}: it lacks {error}, which a gate needs. {AGAIN}."
        ) from error
    return RunFiles(folder=folder, facts=facts, targets=targets)


def _evidence(
    folder: Path, name: str, facts: Mapping[str, Any], timing: Mapping[str, Any], judge: str
) -> Evidence:
    place = folder / name
    digest = facts.get("plan_sha256")
    if digest is not None and digest != _sha256(place / "plan.json"):
        raise InputError(
            f"{place / 'plan.json'}: the plan was changed after the run measured it. {AGAIN}, or "
            f"compare the new export with {folder / 'prepared.onnx'} by --reference and --candidate."
        )
    kind = "integer" if judge == "integer" and "integer" in facts else "simulated"
    path = place / ("samples_integer.csv" if kind == "integer" else "samples.csv")
    table = read_samples(path)
    if facts[kind] is None or len(table) != facts[kind]["samples"]:
        raise InputError(
            f"{path}: run.json counts {(facts[kind] or {}).get('samples', 'no')} samples, saw "
            f"{len(table)}. {AGAIN}."
        )
    return Evidence(
        target=name,
        place=str(place),
        table=table,
        numbers=_numbers(folder, name, facts, timing),
        layers=tuple(read_layers(place / "layers.csv")),
    )


def _numbers(
    folder: Path, name: str, facts: Mapping[str, Any], timing: Mapping[str, Any]
) -> dict[str, float]:
    """Return the numbers of the run as a whole, by measure; what was not measured is left out."""
    sizes = [_size(folder / name / file) for file in facts.get("files", ())[:1]]
    size, float_size = sizes[0] if sizes else math.nan, _size(folder / "prepared.onnx")
    speed = timing.get("milliseconds_per_sample", {}).get(name, {})
    check = facts.get("check", {})
    numbers = {
        "size_mb": size / 1e6,
        "size_ratio": size / float_size,
        "latency_ms": speed.get("integer_ms"),
        "speedup": speed.get("speedup"),
        "predicted_ms": facts.get("predicted_ms"),
        "integer_share": facts.get("integer_kernels", {}).get("share"),
        "check_errors": check.get("error"),
        "check_warnings": check.get("warning"),
    }
    return {k: float(v) for k, v in numbers.items() if v is not None and not math.isnan(v)}


def _size(path: Path) -> float:
    """Return the size in bytes of a model with its external weights; nan without the file."""
    parts = [p for p in (path, path.with_name(f"{path.name}.data")) if p.is_file()]
    return float(sum(p.stat().st_size for p in parts)) if path.is_file() else math.nan


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason_of(error)}. {AGAIN}.") from error

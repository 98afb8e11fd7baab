"""Evidence: all that was measured of one target, for limits to be held against."""

__all__ = ["Evidence", "RunFiles", "read_run"]

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quant.analysis.layer_error import LayerError, read_layers
from quant.common.errors import InputError
from quant.common.files import read_json
from quant.compare.sample_table import SampleTable, read_samples
from quant.gate.paired_test import Paired


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of one quantized model.

    Attributes:
        target: Its target's name, or its own.
        place: The folder or file it comes from, for messages.
        table: Float's and its answers to each sample; None where nothing was measured.
        numbers: By measure, of the run as a whole; what is missing was not measured.
        layers: The layer table; empty where there is none.
        before: By metric, today's and the baseline's right answers counted in pairs; empty without
            a baseline whose samples are the same.
        losses: By layer, the baseline's isolated SQNR less today's, in dB.
        unfair: Why a comparison with the baseline says nothing; "" where it is fair.
    """

    target: str
    place: str
    table: SampleTable | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    layers: tuple[LayerError, ...] = ()
    before: Mapping[str, Paired] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)
    unfair: str = ""


AGAIN = "Run quant calibrate again"


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """The folder of a run.

    Attributes:
        folder: Where it is.
        facts: `run.json`.
        targets: The evidence by target.
    """

    folder: Path
    facts: Mapping[str, Any]
    targets: Mapping[str, Evidence]

    def plan(self, target: str) -> str:
        """Return the SHA-256 of a target's plan, 64 hex digits."""
        return _sha256(self.folder / target / "plan.json")


def read_run(folder: Path, judge: str = "integer") -> RunFiles:
    """Return what a run left.

    Args:
        folder: The `--out` of `quant calibrate`.
        judge: "integer": the answers of the integer run where the runtime was at hand;
            "simulated": those of the simulation in any case.

    Raises:
        InputError: It is no run, or its files do not belong together.
    """
    if not (folder / "run.json").exists():
        raise InputError(
            f"{folder}: a run has a run.json, and there is none. Give --run the --out of quant "
            "calibrate."
        )
    facts = read_json(folder / "run.json", "run", AGAIN)
    times = folder / "timing.json"
    timing = read_json(times, "table of times", AGAIN) if times.exists() else {}
    try:
        found = {
            name: _evidence(folder, name, said, timing, judge)
            for name, said in facts["targets"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder / 'run.json'}: it lacks {error}, which a gate needs. {AGAIN}."
        ) from error
    return RunFiles(folder=folder, facts=facts, targets=found)


def _evidence(
    folder: Path, name: str, said: Mapping[str, Any], timing: Mapping[str, Any], judge: str
) -> Evidence:
    place = folder / name
    known = said.get("plan_sha256")
    if known is not None and known != _sha256(place / "plan.json"):
        raise InputError(
            f"{place / 'plan.json'}: it was changed after the run, whose numbers are of another "
            f"plan. {AGAIN}, or hold the new export against {folder / 'prepared.onnx'} with "
            "--reference and --candidate."
        )
    kind = "integer" if judge == "integer" and "integer" in said else "simulated"
    path = place / ("samples_integer.csv" if kind == "integer" else "samples.csv")
    table = read_samples(path)
    if said[kind] is None or len(table) != said[kind]["samples"]:
        raise InputError(
            f"{path}: run.json speaks of {(said[kind] or {}).get('samples', 'no')} samples, saw "
            f"{len(table)}. {AGAIN}."
        )
    return Evidence(
        target=name,
        place=str(place),
        table=table,
        numbers=_numbers(folder, name, said, timing),
        layers=tuple(read_layers(place / "layers.csv")),
    )


def _numbers(
    folder: Path, name: str, said: Mapping[str, Any], timing: Mapping[str, Any]
) -> dict[str, float]:
    """Return what was measured of the run as a whole; what is missing is left out."""
    files = said.get("files") or ["model.onnx"]
    size, float_size = _size(folder / name / files[0]), _size(folder / "prepared.onnx")
    speed = timing.get("milliseconds_per_sample", {}).get(name, {})
    check = said.get("check", {})
    found = {
        "size_mb": size / 1e6,
        "size_ratio": size / float_size,
        "latency_ms": speed.get("integer_ms"),
        "speedup": speed.get("speedup"),
        "predicted_ms": said.get("predicted_ms"),
        "integer_share": said.get("integer_kernels", {}).get("share"),
        "check_errors": check.get("error"),
        "check_warnings": check.get("warning"),
    }
    return {k: float(v) for k, v in found.items() if v is not None and not math.isnan(v)}


def _size(path: Path) -> float:
    """Return the bytes of a file and of the weights beside it; nan without the file."""
    parts = [p for p in (path, path.with_name(f"{path.name}.data")) if p.is_file()]
    return float(sum(p.stat().st_size for p in parts)) if path.is_file() else math.nan


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}. {AGAIN}.") from error

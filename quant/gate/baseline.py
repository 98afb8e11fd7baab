"""The baseline: the numbers of one run, kept in a file, that later runs are compared with.

It records which samples were answered rightly, one bit each, so that a drop since the baseline is
decided by the paired test too, and fingerprints that show what has changed since.
"""

__all__ = ["Baseline", "changes_since", "load_baseline", "save_baseline", "with_baseline"]

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from quant.common.errors import InputError
from quant.common.files import read_json, write_json
from quant.common.version import VERSION
from quant.compare.sample_table import SampleTable
from quant.gate.evidence import Evidence, RunFiles
from quant.gate.judge import paired_counts
from quant.metrics.squared_error import SquaredError

SCHEMA = 1
REWRITE = "Write the baseline again with quant gate --update-baseline"


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The numbers and fingerprints of a run.

    Attributes:
        version: Version of the package that made the run.
        model: Fingerprint of the prepared graph.
        preprocess: SHA-256 of the preprocessing.
        calibration: Digest of the calibration samples.
        data: By target, SHA-256 over the contents of the measured samples in their order.
        plans: By target, SHA-256 of the plan.
        numbers: Numbers of the run as a whole, by target and measure.
        layers: Isolated SQNR in dB, by target and layer.
        right: By target and metric, a hexadecimal number whose bit i says whether sample i was
            answered rightly.
    """

    version: str
    model: str
    preprocess: str
    calibration: str
    data: dict[str, str] = field(default_factory=dict)
    plans: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)
    layers: dict[str, dict[str, float]] = field(default_factory=dict)
    right: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, run: RunFiles) -> "Baseline":
        """Return the baseline that a run makes."""
        facts = run.facts
        preprocess = json.dumps(facts["preprocess"], sort_keys=True)
        targets = run.targets
        return cls(
            version=VERSION,
            model=facts["model"]["fingerprint"],
            preprocess=hashlib.sha256(preprocess.encode()).hexdigest(),
            calibration=facts["data"]["digest"],
            data={n: _data(e.table) for n, e in targets.items() if e.table is not None},
            plans={n: run.plan(n) for n in targets},
            numbers={n: _numbers(e) for n, e in targets.items()},
            layers={n: _layers(e) for n, e in targets.items()},
            right={n: _right(e.table) for n, e in targets.items() if e.table is not None},
        )


def _data(table: SampleTable) -> str:
    samples = [d or k for d, k in zip(table.digests, table.keys, strict=True)]
    return hashlib.sha256("\n".join(samples).encode()).hexdigest()


def _numbers(evidence: Evidence) -> dict[str, float]:
    numbers = dict(evidence.numbers)
    if evidence.table is not None:
        numbers["sqnr_db"] = _sqnr(evidence.table)
    return {k: v for k, v in numbers.items() if np.isfinite(v)}


def _sqnr(table: SampleTable) -> float:
    """Return the SQNR in dB of the worst output with one row per sample; nan without one."""
    names = [n for n, s in table.signal.items() if np.isfinite(s).any()]
    sums = [SquaredError(float(table.signal[n].sum()), float(table.noise[n].sum())) for n in names]
    return float(np.min([e.sqnr_db for e in sums])) if sums else float("nan")


def _layers(evidence: Evidence) -> dict[str, float]:
    rows = {r.layer: r.isolated_sqnr_db for r in evidence.layers}
    return {name: value for name, value in rows.items() if np.isfinite(value)}


def _right(table: SampleTable) -> dict[str, str]:
    """Return the packed answers of every metric that says right or wrong."""
    packed = {}
    for name, scores in table.scores.items():
        if np.isin(scores, (0, 1)).all():
            packed[name] = np.packbits(scores.astype(np.uint8)).tobytes().hex()
    return packed


def save_baseline(baseline: Baseline, path: Path) -> None:
    """Write a baseline as JSON; the same run gives the same bytes."""
    write_json(path, {"schema": SCHEMA, **asdict(baseline)})


def load_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        InputError: The file does not exist yet, cannot be read, or is of another version.
    """
    if not path.exists():
        raise InputError(
            f"{path}: there is no baseline yet. Make it once, from a run that is good: quant gate "
            f"--run RUN --update-baseline {path}, and commit the file."
        )
    table = read_json(path, "baseline", REWRITE)
    keys = [f.name for f in fields(Baseline)]
    if table.pop("schema", None) != SCHEMA or sorted(table) != sorted(keys):
        raise InputError(
            f"{path}: a baseline of schema {SCHEMA} has {', '.join(keys)}, saw "
            f"{', '.join(sorted(table))[:80] or 'nothing'}. {REWRITE}."
        )
    return Baseline(**table)


def changes_since(then: Baseline, now: Baseline, target: str) -> tuple[list[str], str]:
    """Return what changed since a baseline, and why a comparison is unfair; "" if it is fair.

    A comparison is fair as long as the same samples are measured in the same way. Another model,
    plan or version is what the gate is there to judge.
    """
    changed = []
    for name, what in (("model", "the model"), ("calibration", "the calibration samples")):
        if getattr(then, name) != getattr(now, name):
            changed.append(what)
    if then.version != now.version:
        changed.append(f"quant ({then.version} then, {now.version} now)")
    if then.plans.get(target) != now.plans.get(target):
        changed.append("the plan")
    unfair = []
    if then.preprocess != now.preprocess:
        unfair.append("the preprocessing")
    if target not in then.data:
        return changed, f"the baseline has no target '{target}'. {REWRITE}"
    if then.data[target] != now.data[target]:
        unfair.append("the measured samples")
    if unfair:
        return [*changed, *unfair], f"{' and '.join(unfair)} changed since the baseline. {REWRITE}"
    return changed, ""


def with_baseline(run: RunFiles, then: Baseline) -> tuple[dict[str, Evidence], list[str]]:
    """Return the evidence with its losses since the baseline, and a note for each target."""
    now = Baseline.of(run)
    compared, notes = {}, []
    for name, evidence in run.targets.items():
        changed, unfair = changes_since(then, now, name)
        changes = ", ".join(changed) or "nothing"
        fairness = "the comparison is not fair" if unfair else "the comparison is fair"
        notes.append(f"changed since the baseline, for {name}: {changes}; {fairness}")
        compared[name] = replace(evidence, unfair=unfair)
        if not unfair:
            compared[name] = _compared(evidence, then, now)
    return compared, notes


def _compared(evidence: Evidence, then: Baseline, now: Baseline) -> Evidence:
    name, table = evidence.target, evidence.table
    before: dict[str, Any] = {}
    for metric, bits in then.right.get(name, {}).items():
        if table is not None and metric in table.scores:
            packed = np.frombuffer(bytes.fromhex(bits), np.uint8)
            old = np.unpackbits(packed, count=len(table)).astype(np.float64)
            before[metric] = paired_counts(old, table.scores[metric])
    old_numbers, new_numbers = then.numbers.get(name, {}), now.numbers[name]
    numbers = dict(evidence.numbers)
    if {"sqnr_db"} <= set(old_numbers) & set(new_numbers):
        numbers["baseline_sqnr_loss_db"] = old_numbers["sqnr_db"] - new_numbers["sqnr_db"]
    if {"size_mb"} <= set(old_numbers) & set(new_numbers):
        numbers["baseline_size_growth"] = new_numbers["size_mb"] / old_numbers["size_mb"] - 1
    old_layers = then.layers.get(name, {})
    losses = {k: old_layers[k] - v for k, v in now.layers[name].items() if k in old_layers}
    pairs: Mapping[str, Any] = {k: v for k, v in before.items() if v is not None}
    return replace(evidence, baseline_pairs=pairs, numbers=numbers, layer_losses=losses)

"""Baseline: the numbers of a day, kept in a file, that later runs are held against.

It keeps which samples were answered rightly, a bit each, so that "worse than last week" is decided
in pairs like everything else, and fingerprints that say what has changed since.
"""

__all__ = ["Baseline", "changes", "load_baseline", "save_baseline", "with_baseline"]

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
REWRITE = "Write it anew with quant gate --update-baseline"


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a run measured.

    Attributes:
        version: Of the package.
        model: Fingerprint of the prepared graph.
        preprocess: SHA-256 of the preprocessing.
        calibration: Digest of the calibration samples.
        data: By target, SHA-256 over the contents of the measured samples in their order.
        plans: By target, SHA-256 of the plan.
        numbers: By target and measure.
        layers: By target and layer, the isolated SQNR in dB.
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
        """Return what a run measured, to be kept."""
        facts = run.facts
        told = json.dumps(facts["preprocess"], sort_keys=True)
        seen = run.targets
        return cls(
            version=VERSION,
            model=facts["model"]["fingerprint"],
            preprocess=hashlib.sha256(told.encode()).hexdigest(),
            calibration=facts["data"]["digest"],
            data={n: _data(e.table) for n, e in seen.items() if e.table is not None},
            plans={n: run.plan(n) for n in seen},
            numbers={n: _numbers(e) for n, e in seen.items()},
            layers={n: _layers(e) for n, e in seen.items()},
            right={n: _right(e.table) for n, e in seen.items() if e.table is not None},
        )


def _data(table: SampleTable) -> str:
    told = [d or k for d, k in zip(table.digests, table.keys, strict=True)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _numbers(seen: Evidence) -> dict[str, float]:
    found = dict(seen.numbers)
    if seen.table is not None:
        found["sqnr_db"] = _sqnr(seen.table)
    return {k: v for k, v in found.items() if np.isfinite(v)}


def _sqnr(table: SampleTable) -> float:
    """Return the SQNR in dB of the worst output that has a row a sample; nan without one."""
    names = [n for n, s in table.signal.items() if np.isfinite(s).any()]
    sums = [SquaredError(float(table.signal[n].sum()), float(table.noise[n].sum())) for n in names]
    return float(np.min([e.sqnr_db for e in sums])) if sums else float("nan")


def _layers(seen: Evidence) -> dict[str, float]:
    rows = {r.layer: r.isolated_sqnr_db for r in seen.layers}
    return {name: value for name, value in rows.items() if np.isfinite(value)}


def _right(table: SampleTable) -> dict[str, str]:
    """Return the metrics that know only right and wrong, packed."""
    found = {}
    for name, scores in table.scores.items():
        if np.isin(scores, (0, 1)).all():
            found[name] = np.packbits(scores.astype(np.uint8)).tobytes().hex()
    return found


def save_baseline(found: Baseline, path: Path) -> None:
    """Write a baseline as JSON; the same run gives the same bytes."""
    write_json(path, {"schema": SCHEMA, **asdict(found)})


def load_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        InputError: The file is missing or is none.
    """
    table = read_json(path, "baseline", REWRITE)
    known = [f.name for f in fields(Baseline)]
    if table.pop("schema", None) != SCHEMA or sorted(table) != sorted(known):
        raise InputError(
            f"{path}: a baseline of schema {SCHEMA} has {', '.join(known)}, saw "
            f"{', '.join(sorted(table))[:80] or 'nothing'}. {REWRITE}."
        )
    return Baseline(**table)


def changes(then: Baseline, now: Baseline, target: str) -> tuple[list[str], str]:
    """Return what changed since, a phrase each, and why a comparison is unfair; "" if it is fair.

    It is fair as long as the same samples are measured in the same way: then what differs is what
    the gate is there to judge.
    """
    found = []
    for name, what in (("model", "the model"), ("calibration", "the calibration samples")):
        if getattr(then, name) != getattr(now, name):
            found.append(what)
    if then.version != now.version:
        found.append(f"quant ({then.version} then, {now.version} now)")
    if then.plans.get(target) != now.plans.get(target):
        found.append("the plan")
    unfair = []
    if then.preprocess != now.preprocess:
        unfair.append("the preprocessing")
    if target not in then.data:
        return found, f"the baseline knows no target '{target}'. {REWRITE}"
    if then.data[target] != now.data[target]:
        unfair.append("the measured samples")
    if unfair:
        return [*found, *unfair], f"{' and '.join(unfair)} changed since the baseline. {REWRITE}"
    return found, ""


def with_baseline(run: RunFiles, then: Baseline) -> tuple[dict[str, Evidence], list[str]]:
    """Return the evidence with what it lost since the baseline, and a note for each target."""
    now = Baseline.of(run)
    found, notes = {}, []
    for name, seen in run.targets.items():
        changed, unfair = changes(then, now, name)
        said = ", ".join(changed) or "nothing"
        verdict = "the comparison is not fair" if unfair else "the comparison is fair"
        notes.append(f"since the baseline, for {name}: changed {said}; {verdict}")
        found[name] = replace(seen, unfair=unfair)
        if not unfair:
            found[name] = _compared(seen, then, now)
    return found, notes


def _compared(seen: Evidence, then: Baseline, now: Baseline) -> Evidence:
    name, table = seen.target, seen.table
    before: dict[str, Any] = {}
    for metric, bits in then.right.get(name, {}).items():
        if table is not None and metric in table.scores:
            packed = np.frombuffer(bytes.fromhex(bits), np.uint8)
            old = np.unpackbits(packed, count=len(table)).astype(np.float64)
            before[metric] = paired_counts(old, table.scores[metric])
    old_numbers, new_numbers = then.numbers.get(name, {}), now.numbers[name]
    numbers = dict(seen.numbers)
    if {"sqnr_db"} <= set(old_numbers) & set(new_numbers):
        numbers["baseline_sqnr_loss_db"] = old_numbers["sqnr_db"] - new_numbers["sqnr_db"]
    if {"size_mb"} <= set(old_numbers) & set(new_numbers):
        numbers["baseline_size_growth"] = new_numbers["size_mb"] / old_numbers["size_mb"] - 1
    old_layers = then.layers.get(name, {})
    losses = {k: old_layers[k] - v for k, v in now.layers[name].items() if k in old_layers}
    pairs: Mapping[str, Any] = {k: v for k, v in before.items() if v is not None}
    return replace(seen, before=pairs, numbers=numbers, losses=losses)

"""Summary: what a run did and found, as `run.json` (schema version 1).

`run.json` holds nothing that differs between two equal runs; times are in `timing.json`.
"""

__all__ = ["summary"]

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quant.calibration.selection.sufficiency import Sufficiency
from quant.common.version import VERSION
from quant.compare.comparison import Comparison
from quant.graph.prepared_graph import weight_of
from quant.profile.statistics import Profile
from quant.run.context import RunContext
from quant.run.material import Material
from quant.search.summary import held_out_facts, search_summary
from quant.search.write_files import search_facts

SCHEMA = 1


def summary(
    context: RunContext,
    profile: Profile,
    results: Mapping[str, Any],
    enough: Sufficiency | None = None,
) -> dict[str, Any]:
    """Return the content of `run.json`.

    Keys: `schema`, `version`, `model` (name, source, fingerprint, notes, parity), `data` (source,
    samples, measured, held_out, digest, unreadable), `sufficiency` or None, `preprocess`, `settings`, `targets` (by name:
    layers, output errors, `observers_db` (SQNR of each observer tried), agreement, scores, integer
    run, parity, files, `check`: findings by severity, `search`: what a search found) and `warnings`.
    """
    job, material, progress = context.job, context.material, context.progress
    graph = material.graph
    unreadable = dict(material.bad)
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "model": {
            "name": graph.name,
            "source": graph.source,
            "fingerprint": graph.fingerprint,
            "notes": list(graph.notes),
            "parity": material.parity,
        },
        "data": {
            "source": material.data.name,
            "samples": profile.provenance.samples,
            "measured": _measured(results),
            "held_out": material.held_out,
            "digest": f"{profile.provenance.data:064x}",
            "unreadable": [{"sample": k, "reason": r} for k, r in sorted(unreadable.items())],
        },
        "sufficiency": None if enough is None else enough.facts(),
        "preprocess": job.preprocess.describe(),
        "settings": {
            "seed": job.seed,
            "observer": job.observer,
            "recipe": str(job.recipe) if job.recipe else None,
            "effort": job.effort,
            "labels": job.labels,
            "metrics": list(job.metrics),
            "layer_samples": job.layer_samples,
        },
        "targets": {
            name: _target(result, material, job.out / name) for name, result in results.items()
        },
        "warnings": progress.warnings,
    }


def _measured(results: Mapping[str, Any]) -> int:
    return next((r.measured.simulated.samples for r in results.values()), 0)


def _target(result: Any, material: Material, folder: Path) -> dict[str, Any]:
    planned, measured = result.planned, result.measured
    plan, written = planned.plan, planned.written
    weighted = {str(n.name) for n in material.graph.nodes if weight_of(n) is not None}
    integer = [p for p in plan.layers.values() if p.quantized]
    found: dict[str, Any] = {
        "layers": {
            "integer": len(integer),
            "weighted": len(weighted),
            "weighted_integer": sum(p.layer in weighted for p in integer),
            "all": len(plan.layers),
            "by_precision": dict(
                Counter(p.precision for p in plan.layers.values() if p.layer in weighted)
            ),
        },
        "simulated": _comparison(measured.simulated),
        "observers_db": planned.observers_db,
        "effort": [
            {"step": r.step, "aside_db": r.sqnr_db, "kept": r.kept, "judged": r.judged}
            for r in planned.rungs
        ],
        "files": list(written.exported.files),
        "plan_sha256": hashlib.sha256((folder / "plan.json").read_bytes()).hexdigest(),
        "check": {
            name: sum(f.severity == name for f in written.findings)
            for name in ("error", "warning", "info")
        },
        **written.exported.facts,
        **result.layers.predicted,
    }
    if planned.search is not None:
        found["search"] = search_summary(search_facts(planned.search)) | {
            "held_out": held_out_facts(planned.search.limits, measured.simulated)
            if material.held_out
            else {}
        }
    if measured.integer is not None:
        found["integer"] = _comparison(measured.integer)
    if measured.parity is not None:
        found["parity"] = _comparison(measured.parity)
    return found


def _comparison(found: Comparison | None) -> dict[str, Any] | None:
    """Return a comparison without its times."""
    if found is None:
        return None
    return {
        "samples": found.samples,
        "sqnr_db": found.sqnr_db,
        "agreement": found.agreement,
        "scores": found.scores,
        "float_scores": found.float_scores,
        "outputs": [
            {"output": o.output, "sqnr_db": o.sqnr_db, "cosine": o.cosine, "largest": o.largest}
            for o in found.outputs
        ],
    }

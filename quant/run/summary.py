"""Summary: what a run did and found, as `run.json` (schema version 1) and as text.

`run.json` holds nothing that differs between two equal runs; times are in `timing.json`.
"""

__all__ = ["summary", "summary_text"]

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quant.calibration.selection.sufficiency import Sufficiency
from quant.common.version import VERSION
from quant.compare.comparison import Comparison
from quant.cost.network_cost import predicted_text
from quant.graph.prepared_graph import weight_of
from quant.profile.statistics import Profile
from quant.run.context import RunContext
from quant.run.material import Material
from quant.search.summary import held_out_facts, search_summary, search_text
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


def summary_text(facts: Mapping[str, Any], timing: Mapping[str, Any]) -> str:
    """Return the lines that end a run on the terminal."""
    data, lines = facts["data"], []
    where = "held-out samples" if data["held_out"] else "of the same samples"
    lines.append(
        f"{facts['model']['name']}: calibrated on {data['samples']} samples, "
        f"measured on {data['measured']} {where}"
    )
    notes = ", ".join(facts["model"]["notes"]) or "nothing to fold"
    lines.append(
        f"  prepared: {notes}; outputs within {facts['model']['parity']:.1e} of the model's"
    )
    lines.append(f"  input: {_input(facts['preprocess'])}")
    lines += _settled(facts.get("sufficiency"))
    if data["unreadable"]:
        rows = data["unreadable"]
        names = ", ".join(f"{row['sample']!r} ({row['reason']})" for row in rows[:3])
        more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
        lines.append(f"  skipped, for they cannot be read: {names}{more}")
    for name, target in facts["targets"].items():
        layers = target["layers"]
        by = ", ".join(f"{n} in {precision}" for precision, n in layers["by_precision"].items())
        lines.append(f"{name}: {layers['weighted']} weighted layers, {by}")
        if target["observers_db"]:
            tried = ", ".join(f"{k} {v:.1f} dB" for k, v in target["observers_db"].items())
            lines.append(f"  observers   {tried}")
        if "search" in target:
            lines += search_text(target["search"])
        lines += _rungs(target["effort"])
        lines.append(f"  simulation  {_line(target['simulated'])}")
        lines += predicted_text(target)
        if said := [f"{n} {kind}{'s' * (n != 1)}" for kind, n in target["check"].items() if n]:
            lines.append(f"  check       {', '.join(said)}: see {name}/check.json")
        if "integer" in target:
            lines.append(f"  integer run {_line(target['integer'])}")
            lines += _kernels(target, timing["milliseconds_per_sample"].get(name))
    return "\n".join(lines)


def _settled(enough: Mapping[str, Any] | None) -> list[str]:
    """Say whether the ranges have settled, where that was looked at."""
    if not enough or enough["settled"] is None:
        return []  # a warning says it
    said = f"half of them ({enough['settled']} of {enough['samples']}) cost no tensor more than"
    return [f"  samples: settled; {said} {enough['steps'][-1]['noise_db']:.1f} dB"]


def _rungs(rungs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what each step bought on the samples held aside."""
    if not rungs:
        return []
    top, said = rungs[0]["aside_db"], []
    for rung in rungs[1:]:
        if not rung.get("judged", True):
            said.append(f"{rung['step']}{'' if rung['kept'] else ' (not kept)'}")
            continue
        gain = rung["aside_db"] - top
        said.append(f"{rung['step']} {gain:+.1f} dB{'' if rung['kept'] else ' (not kept)'}")
        top = rung["aside_db"] if rung["kept"] else top
    return [f"  effort      {rungs[0]['aside_db']:.1f} dB held aside; {', '.join(said)}"]


def _input(how: Mapping[str, Any]) -> str:
    """Say how an image becomes the input, so that a wrong default is seen."""
    size = "the image's own size"
    if how["size"]:
        size = f"{how['size'][0]}x{how['size'][1]} by {how['resize']}"
        if how["resize"] == "shorter":
            size += f" ({how['short_side']} pixels, crop {how['crop']})"
    mean, std = (",".join(f"{v:g}" for v in how[k]) for k in ("mean", "std"))
    return f"{size}, {how['channels']}, mean {mean}, std {std}"


def _line(found: Mapping[str, Any]) -> str:
    outputs = found["outputs"]
    parts = [f"SQNR {found['sqnr_db']:.1f} dB" + (" (worst output)" if len(outputs) > 1 else "")]
    if found["agreement"] is not None:
        parts.append(f"agreement with float {100 * found['agreement']:.2f} %")
    for metric, value in found["scores"].items():
        before = found["float_scores"][metric]
        parts.append(
            f"{metric} {value:.4f} (float {before:.4f}, {100 * (value - before):+.2f} points)"
        )
    return ", ".join(parts)


def _kernels(target: Mapping[str, Any], speed: Mapping[str, float] | None) -> list[str]:
    share = target.get("integer_kernels", {}).get("by_op", {})
    said = ", ".join(f"{fast} of {every} {op}" for op, (fast, every) in share.items())
    line = f"  integer kernels: {said}" if said else ""
    if speed:
        line += (
            f"; {speed['float_ms']:.2f} ms -> {speed['integer_ms']:.2f} ms a sample "
            f"({speed['speedup']:.2f} times as fast{'' if speed['speedup'] > 1 else ': slower here'})"
        )
    parity = target.get("parity")
    extra = []
    if parity:
        worst = max(o["largest"] for o in parity["outputs"])
        extra = [
            f"  integer run against simulation: SQNR {parity['sqnr_db']:.1f} dB, largest difference {worst:.3g}"
        ]
    return ([line] if line else []) + extra

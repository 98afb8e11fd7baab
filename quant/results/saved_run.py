"""A finished run read back from its folder, with the likely causes of each layer's error."""

__all__ = ["SavedRun", "SavedTarget", "load_run", "read_facts", "read_timing"]

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from quant.analysis.analyse import Analysis
from quant.analysis.file import load_analysis
from quant.analysis.layer_error import LayerError, read_layers
from quant.causes.cause import Cause
from quant.causes.find_causes import find_causes
from quant.common.errors import InputError, reason_of
from quant.graph.prepared_graph import Graph
from quant.plan.file import load_plan
from quant.plan.fitted_graph import graph_for
from quant.plan.planned_graph import PlannedGraph
from quant.plan.tensor_plans import Plan
from quant.profile.file import load_profile
from quant.profile.statistics import Profile
from quant.results.layer_causes import layer_causes
from quant.results.saved_search import SavedSearch, load_search

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class SavedTarget:
    """One target's part of a run.

    Attributes:
        name: Name of the target.
        facts: The target's part of `run.json`.
        plan: The plan that was simulated.
        graph: The plan's graph: `prepared.onnx`, or the target's own graph with better weights.
        profile: Profile of that graph.
        rows: The layer table.
        analysis: Measurements of the layers; empty where no layer was measured.
        causes: The causes of each layer's error by layer name, the likeliest first.
        search: The search for mixed precision; None where there was none.
    """

    name: str
    facts: Mapping[str, Any]
    plan: Plan
    graph: Graph
    profile: Profile
    rows: tuple[LayerError, ...]
    analysis: Analysis
    causes: Mapping[str, list[Cause]]
    search: SavedSearch | None = None


@dataclass(frozen=True, kw_only=True)
class SavedRun:
    """The content of a run's folder.

    Attributes:
        folder: Path of the folder.
        facts: Content of `run.json`.
        graph: `prepared.onnx`.
        profile: Profile of `graph`.
        targets: The targets, in the order of `run.json`.
        gate: `gate.json` of the last `quant gate`; None where there was none.
    """

    folder: Path
    facts: Mapping[str, Any]
    graph: Graph
    profile: Profile
    targets: tuple[SavedTarget, ...]
    gate: Mapping[str, Any] | None = None


def load_run(folder: Path) -> SavedRun:
    """Read a run's folder.

    Raises:
        InputError: The folder holds no run, or one of its files is missing or of another version.
    """
    facts = read_facts(folder)
    model = facts["model"]
    path = folder / "prepared.onnx"
    try:
        loaded = ir.load(path)
    except Exception as error:  # protobuf and onnx_ir raise whatever they like
        raise InputError(
            f"{path}: not a readable graph: {type(error).__name__}. Run quant calibrate again."
        ) from error
    graph = Graph(loaded, str(model["name"]), str(model.get("source", "")))
    profile = load_profile(folder / "profile.safetensors")
    profile.must_match(place=str(folder / "profile.safetensors"), graph=graph.fingerprint)
    targets = tuple(
        _target(folder / name, name, target_facts, graph, profile)
        for name, target_facts in facts["targets"].items()
    )
    return SavedRun(
        folder=folder,
        facts=facts,
        graph=graph,
        profile=profile,
        targets=targets,
        gate=_gate(folder / "gate.json"),
    )


def _gate(path: Path) -> dict[str, Any] | None:
    """Read a verdict; None for a broken file, because `quant gate` writes it again."""
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return (
        verdict if isinstance(verdict, dict) and isinstance(verdict.get("results"), list) else None
    )


def read_facts(folder: Path) -> dict[str, Any]:
    """Read `run.json`.

    Raises:
        InputError: It is missing, or of another version.
    """
    path = folder / "run.json"
    try:
        text = path.read_text(encoding="utf-8")
        facts: dict[str, Any] = json.loads(text, parse_constant=lambda _: None)
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        raise InputError(
            f"{path}: not a readable summary of a run: {reason}. Give the --out folder of quant "
            "calibrate."
        ) from error
    schema = facts.get("schema") if isinstance(facts, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"{path}: a run of another version: saw schema {schema}, wanted {SCHEMA}. Run quant "
            "calibrate again."
        )
    if not isinstance(facts.get("model"), dict) or not isinstance(facts.get("targets"), dict):
        raise InputError(
            f"{path}: a run has a model and targets, saw only {', '.join(sorted(facts))}. Run quant "
            "calibrate again."
        )
    return facts


def read_timing(folder: Path) -> dict[str, Any]:
    """Read `timing.json`; {} where it is missing or broken, for no number of the run rests on it."""
    try:
        found = json.loads((folder / "timing.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _target(
    folder: Path, name: str, facts: Mapping[str, Any], graph: Graph, profile: Profile
) -> SavedTarget:
    plan = load_plan(folder / "plan.json")
    graph = graph_for(plan, folder / "plan.json", graph)
    if graph.fingerprint != profile.provenance.graph:
        profile = load_profile(folder / "profile.safetensors")
    rows = read_layers(folder / "layers.csv")
    path = folder / "analysis.safetensors"
    empty = Analysis(target=name, images=(), layers={})
    analysis = load_analysis(path) if path.exists() else empty
    planned = PlannedGraph(graph=graph, plan=plan, profile=profile)
    causes = layer_causes(
        rows, [find_causes(planned, r, analysis.layers.get(r.layer)) for r in rows]
    )
    return SavedTarget(
        name=name,
        facts=facts,
        plan=plan,
        graph=graph,
        profile=profile,
        rows=rows,
        analysis=analysis,
        causes=causes,
        search=load_search(folder / "search" / "search.json") if "search" in facts else None,
    )

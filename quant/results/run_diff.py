"""Two runs compared layer by layer: what became better or worse, and what the plans changed."""

__all__ = ["LayerDiff", "RunDiff", "TargetDiff", "compare_runs", "diff_json"]

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from quant.analysis.layer_error import LayerError
from quant.common.errors import InputError, few
from quant.graph.prepared_graph import weight_of
from quant.results.advice import rating_of
from quant.results.saved_run import SavedRun, SavedTarget

NOTICEABLE = 1.0
"""In dB: on the few images that layers are measured on, a smaller difference means nothing."""

Change = Literal["better", "worse", "same", "added", "gone"]
ORDER: Mapping[str, int] = {"worse": 0, "better": 1, "added": 2, "gone": 3, "same": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDiff:
    """One layer in two runs.

    Attributes:
        layer: Node name.
        op: Operator type.
        change: Judged by isolated SQNR, or by cumulative where the layer is float in one run.
        isolated_db: Isolated SQNR before and after; nan where it was not measured.
        cumulative_db: Cumulative SQNR before and after.
        precision: Precision before and after; "" where the layer is missing.
        plan: What changed in the plan and why, one phrase each: "weight: a -> b".
        cause: The likeliest cause before and after.
    """

    layer: str
    op: str
    change: Change
    isolated_db: tuple[float, float]
    cumulative_db: tuple[float, float]
    precision: tuple[str, str]
    plan: tuple[str, ...]
    cause: tuple[str, str]

    @property
    def gain(self) -> float:
        """By how many dB the layer became better; nan where one of the runs has no number."""
        before, after = self.isolated_db
        if math.isnan(before) or math.isnan(after):
            before, after = self.cumulative_db
        return 0.0 if before == after else after - before


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetDiff:
    """One target in two runs.

    Attributes:
        target: Name of the target.
        words: The phrases of both ratings, before and after.
        sqnr_db: SQNR at the worst output, before and after; nan where it was not measured.
        layers: The layers, the worst change first.
    """

    target: str
    words: tuple[str, str]
    sqnr_db: tuple[float, float]
    layers: tuple[LayerDiff, ...]

    def count(self, change: Change) -> int:
        """Return the number of layers with this change."""
        return sum(x.change == change for x in self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDiff:
    """The differences between two runs.

    Attributes:
        before: Folder of the first run.
        after: Folder of the second run.
        notes: Differences of the runs themselves: model, data, settings.
        targets: The targets that both runs have.
    """

    before: str
    after: str
    notes: tuple[str, ...]
    targets: tuple[TargetDiff, ...]


def compare_runs(before: SavedRun, after: SavedRun) -> RunDiff:
    """Compare two runs by the names of targets and layers.

    Raises:
        InputError: They share no target, or not one layer.
    """
    others = {t.name: t for t in after.targets}
    shared = [(t, others[t.name]) for t in before.targets if t.name in others]
    if not shared:
        raise InputError(
            f"{before.folder} and {after.folder}: two runs are compared by their targets, saw "
            f"{few(t.name for t in before.targets)} and {few(others)}. Run one of them again with "
            "the other's --target."
        )
    names = {r.layer for t in before.targets for r in t.rows}
    if not any(r.layer in names for t in after.targets for r in t.rows):
        raise InputError(
            f"{before.folder} and {after.folder}: two runs are compared by the names of their "
            f"layers, saw none that both have, for example {few(sorted(names), 2)}. Give two runs "
            "of one model."
        )
    return RunDiff(
        before=str(before.folder),
        after=str(after.folder),
        notes=tuple(_notes(before.facts, after.facts)),
        targets=tuple(_target(_Side(before, a), _Side(after, b)) for a, b in shared),
    )


def _notes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Return what makes the two runs hard to compare, and which settings differ."""
    notes = []
    if a["model"].get("fingerprint") != b["model"].get("fingerprint"):
        notes.append("the models differ; layers are matched by name")
    first, second = a.get("data") or {}, b.get("data") or {}
    if first.get("digest") != second.get("digest"):
        notes.append("the runs were calibrated on different samples")
    if first.get("measured") != second.get("measured"):
        notes.append(f"measured samples: {first.get('measured')} -> {second.get('measured')}")
    for part in ("settings", "preprocess"):
        old, new = a.get(part) or {}, b.get(part) or {}
        for key in dict.fromkeys([*old, *new]):
            if old.get(key) != new.get(key):
                notes.append(f"{key}: {_plain(old.get(key))} -> {_plain(new.get(key))}")
    return notes


def _plain(value: object) -> str:
    return "none" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class _Side:
    """One target of one of the two runs."""

    run: SavedRun
    target: SavedTarget

    def rows(self) -> dict[str, LayerError]:
        return {row.layer: row for row in self.target.rows}


def _target(before: _Side, after: _Side) -> TargetDiff:
    old, new = before.rows(), after.rows()
    names = dict.fromkeys([*old, *new])
    rows = [_layer(before, after, name) for name in names]
    rows.sort(key=lambda x: (ORDER[x.change], -abs(x.gain) if not math.isnan(x.gain) else 0.0))
    return TargetDiff(
        target=before.target.name,
        words=(rating_of(before.target.facts).words, rating_of(after.target.facts).words),
        sqnr_db=(_sqnr(before.target), _sqnr(after.target)),
        layers=tuple(rows),
    )


def _sqnr(target: SavedTarget) -> float:
    value = (target.facts.get("simulated") or {}).get("sqnr_db")
    return float("nan") if value is None else float(value)


def _layer(before: _Side, after: _Side, name: str) -> LayerDiff:
    """Return the difference of a layer that one of the runs has, or both."""
    old, new = before.rows().get(name), after.rows().get(name)
    row = (after if new is not None else before).rows()[name]
    isolated, cumulative = (
        tuple(getattr(r, key) if r is not None else float("nan") for r in (old, new))
        for key in ("isolated_sqnr_db", "cumulative_sqnr_db")
    )
    diff = LayerDiff(
        layer=row.layer,
        op=row.op,
        change="same",
        isolated_db=(isolated[0], isolated[1]),
        cumulative_db=(cumulative[0], cumulative[1]),
        precision=(old.precision if old else "", new.precision if new else ""),
        plan=tuple(_plan(before, after, old, new)),
        cause=(_cause(before.target, row.layer), _cause(after.target, row.layer)),
    )
    return replace(diff, change=_change(old, new, diff.gain))


def _change(old: LayerError | None, new: LayerError | None, gain: float) -> Change:
    if old is None or new is None:
        return "added" if old is None else "gone"
    if math.isnan(gain) or abs(gain) < NOTICEABLE:
        return "same"
    return "better" if gain > 0 else "worse"


def _cause(target: SavedTarget, layer: str) -> str:
    causes = target.causes.get(layer) or []
    return causes[0].words if causes else ""


def _plan(before: _Side, after: _Side, old: LayerError | None, new: LayerError | None) -> list[str]:
    """Return what differs between both plans of a layer, with the reasons."""
    if old is None or new is None:
        return []
    changes = []
    if old.precision != new.precision:
        changes.append(
            f"precision: {old.precision} ({old.because}) -> {new.precision} ({new.because})"
        )
    first, second = _grids(before, old.layer), _grids(after, old.layer)
    for what in dict.fromkeys([*first, *second]):
        was, now = first.get(what, "float"), second.get(what, "float")
        if was != now and old.precision == new.precision:
            changes.append(f"{what}: {was} -> {now}")
    return changes


def _grids(side: _Side, layer: str) -> dict[str, str]:
    """Return format and reason of a layer's weight and of its inputs."""
    node = next((n for n in side.run.graph.nodes if str(n.name) == layer), None)
    if node is None:
        return {}
    weight = weight_of(node)
    grids = {}
    for value in node.inputs:
        grid = side.target.plan.grid(str(value.name), layer) if value is not None else None
        if grid is None or grid.format is None or value is None:
            continue
        if value is weight:
            grids["weight"] = f"{grid.format.name}, {grid.because}"
            continue
        low, high = grid.format.grid_range(grid.params)
        ends = f"[{float(low.min()):.4g}, {float(high.max()):.4g}]"
        grids[f"input '{value.name}'"] = f"{grid.format.name} over {ends}"
    return grids


def diff_json(diff: RunDiff) -> dict[str, Any]:
    """Return a diff as JSON values, schema 1; numbers that are not finite are for `write_json`."""
    return {"schema": 1, **asdict(diff)}

"""RunDiff: two runs layer by layer, what became better or worse, and what the plans changed."""

__all__ = ["LayerDiff", "RunDiff", "TargetDiff", "compare_runs", "diff_json"]

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from quant.analysis.layer_error import LayerError
from quant.common.errors import InputError, few
from quant.graph.prepared_graph import weight_of
from quant.results.advice import verdict
from quant.results.saved_run import SavedRun, SavedTarget

NOTICEABLE = 1.0
"""In dB: measured on a few images, a difference below it is none."""

Change = Literal["better", "worse", "same", "added", "gone"]
ORDER: Mapping[str, int] = {"worse": 0, "better": 1, "added": 2, "gone": 3, "same": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDiff:
    """One layer in two runs.

    Attributes:
        layer: Node name.
        op: Operator type.
        change: By isolated SQNR, or by cumulative where a layer is float in one of the runs.
        isolated_db: Before and after; nan where it was not measured.
        cumulative_db: Before and after.
        precision: Before and after; "" where the layer is missing.
        plan: What changed in the plan and why, one phrase each: "weight: a -> b".
        cause: The likeliest before and after.
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
        """How much better it became, in dB; nan where one of the runs has no number."""
        before, after = self.isolated_db
        if math.isnan(before) or math.isnan(after):
            before, after = self.cumulative_db
        return 0.0 if before == after else after - before


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetDiff:
    """One target in two runs.

    Attributes:
        target: Its name.
        words: The verdicts before and after.
        sqnr_db: At the worst output, before and after; nan where it was not measured.
        layers: The worst change first.
    """

    target: str
    words: tuple[str, str]
    sqnr_db: tuple[float, float]
    layers: tuple[LayerDiff, ...]

    def count(self, change: Change) -> int:
        """Return how many layers changed so."""
        return sum(x.change == change for x in self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDiff:
    """Two runs.

    Attributes:
        before: Folder of the first.
        after: Folder of the second.
        notes: What is different about the runs themselves: model, data, settings.
        targets: Those that both have.
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
        targets=tuple(_target(before, after, a, b) for a, b in shared),
    )


def _notes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Say what makes the two runs hard to compare, and what was set differently."""
    found = []
    if a["model"].get("fingerprint") != b["model"].get("fingerprint"):
        found.append("the models differ: layers are matched by name")
    first, second = a.get("data") or {}, b.get("data") or {}
    if first.get("digest") != second.get("digest"):
        found.append("they were calibrated on different samples")
    if first.get("measured") != second.get("measured"):
        found.append(f"{first.get('measured')} samples measured, then {second.get('measured')}")
    for part in ("settings", "preprocess"):
        old, new = a.get(part) or {}, b.get(part) or {}
        for key in dict.fromkeys([*old, *new]):
            if old.get(key) != new.get(key):
                found.append(f"{key}: {_plain(old.get(key))} -> {_plain(new.get(key))}")
    return found


def _plain(value: object) -> str:
    return "none" if value is None else str(value)


def _target(before: SavedRun, after: SavedRun, a: SavedTarget, b: SavedTarget) -> TargetDiff:
    old, new = ({r.layer: r for r in t.rows} for t in (a, b))
    names = dict.fromkeys([*old, *new])
    rows = [_layer(before, after, a, b, old.get(name), new.get(name)) for name in names]
    rows.sort(key=lambda x: (ORDER[x.change], -abs(x.gain) if not math.isnan(x.gain) else 0.0))
    return TargetDiff(
        target=a.name,
        words=(verdict(a.facts).words, verdict(b.facts).words),
        sqnr_db=(_sqnr(a), _sqnr(b)),
        layers=tuple(rows),
    )


def _sqnr(target: SavedTarget) -> float:
    seen = (target.facts.get("simulated") or {}).get("sqnr_db")
    return float("nan") if seen is None else float(seen)


def _layer(
    before: SavedRun,
    after: SavedRun,
    a: SavedTarget,
    b: SavedTarget,
    old: LayerError | None,
    new: LayerError | None,
) -> LayerDiff:
    known = new or old
    assert known is not None
    pair = (old, new)
    isolated, cumulative = (
        tuple(getattr(r, key) if r is not None else float("nan") for r in pair)
        for key in ("isolated_sqnr_db", "cumulative_sqnr_db")
    )
    told = LayerDiff(
        layer=known.layer,
        op=known.op,
        change="same",
        isolated_db=(isolated[0], isolated[1]),
        cumulative_db=(cumulative[0], cumulative[1]),
        precision=(old.precision if old else "", new.precision if new else ""),
        plan=tuple(_plan(before, after, a, b, old, new)),
        cause=(_cause(a, known.layer), _cause(b, known.layer)),
    )
    values = {f: getattr(told, f) for f in LayerDiff.__dataclass_fields__}
    return LayerDiff(**values | {"change": _change(old, new, told.gain)})


def _change(old: LayerError | None, new: LayerError | None, gain: float) -> Change:
    if old is None or new is None:
        return "added" if old is None else "gone"
    if math.isnan(gain) or abs(gain) < NOTICEABLE:
        return "same"
    return "better" if gain > 0 else "worse"


def _cause(target: SavedTarget, layer: str) -> str:
    causes = target.causes.get(layer) or []
    return causes[0].words if causes else ""


def _plan(
    before: SavedRun,
    after: SavedRun,
    a: SavedTarget,
    b: SavedTarget,
    old: LayerError | None,
    new: LayerError | None,
) -> list[str]:
    """Return what the plans say differently of a layer, with their reasons."""
    if old is None or new is None:
        return []
    found = []
    if old.precision != new.precision:
        found.append(
            f"precision: {old.precision} ({old.because}) -> {new.precision} ({new.because})"
        )
    first, second = _grids(before, a, old.layer), _grids(after, b, old.layer)
    for what in dict.fromkeys([*first, *second]):
        was, now = first.get(what, "float"), second.get(what, "float")
        if was != now and old.precision == new.precision:
            found.append(f"{what}: {was} -> {now}")
    return found


def _grids(run: SavedRun, target: SavedTarget, layer: str) -> dict[str, str]:
    """Return format and reason of a layer's weight and of what it reads."""
    node = next((n for n in run.graph.nodes if str(n.name) == layer), None)
    if node is None:
        return {}
    weight = weight_of(node)
    found = {}
    for value in node.inputs:
        known = target.plan.grid(str(value.name), layer) if value is not None else None
        if known is None or known.format is None or value is None:
            continue
        if value is weight:
            found["weight"] = f"{known.format.name}, {known.because}"
            continue
        low, high = known.format.grid_range(known.params)
        ends = f"[{float(low.min()):.4g}, {float(high.max()):.4g}]"
        found[f"input '{value.name}'"] = f"{known.format.name} over {ends}"
    return found


def diff_json(diff: RunDiff) -> dict[str, Any]:
    """Return a diff as JSON values, schema 1; numbers that are not finite are for `write_json`."""
    return {"schema": 1, **asdict(diff)}

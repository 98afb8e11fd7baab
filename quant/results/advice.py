"""Advice: how good a target's measured numbers are, and which remedies to try first."""

__all__ = ["Action", "Rating", "actions", "rating_of"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from quant.causes.cause import KINDS, Cause, CauseKind, recipe_of
from quant.metrics.metric import METRICS
from quant.results.layer_causes import noise_shares
from quant.results.saved_run import SavedTarget

WORTH = 0.002
"""Layers with a smaller share of the noise at the outputs get no rule."""

LEVELS: Mapping[str, tuple[float, float]] = {
    "scores": (0.01, 0.03),
    "agreement": (0.97, 0.9),
    "sqnr": (20.0, 10.0),
}
"""The bounds of "good" and of "fair", by what was measured: drop of the worst score as a share,
agreement with float, SQNR in dB. A reading aid; `quant gate` decides with the limits that you set."""

Level = Literal["good", "fair", "bad", "unknown"]

LABELS: Mapping[Level, str] = {
    "good": "good",
    "fair": "look closer",
    "bad": "broken",
    "unknown": "not measured",
}
"""What the report and the terminal call each level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """How good the quantized network of a target is.

    Attributes:
        level: "good", "fair", "bad" or "unknown".
        words: One phrase with the number on which the level rests.
    """

    level: Level
    words: str

    @property
    def label(self) -> str:
        """The verdict as a person reads it: "good", "look closer", "broken" or "not measured"."""
        return LABELS[self.level]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One remedy, and the layers that it helps.

    Attributes:
        kind: Kind of the cause, a key of KINDS.
        title: Name of the cause.
        layers: Names of the layers, the worst first.
        share: Their share of the noise at the outputs, 0 to 1.
        evidence: Evidence for the worst layer.
        remedy: Remedy for the worst layer.
        recipe: Rules for all layers, to paste into a recipe; "" where there is no remedy.
    """

    kind: str
    title: str
    layers: tuple[str, ...]
    share: float
    evidence: str
    remedy: str
    recipe: str


def rating_of(facts: Mapping[str, Any]) -> Rating:
    """Rate a target by what was measured of its simulation: scores, agreement or SQNR."""
    measured = facts.get("simulated") or {}
    scores, before = measured.get("scores") or {}, measured.get("float_scores") or {}
    metrics = {m: METRICS[m] for m in METRICS}
    drops = [
        (before[k] - v, k)
        for k, v in scores.items()
        if before.get(k) is not None
        and v is not None
        and (k not in metrics or (metrics[k].better == "higher" and not metrics[k].against_float))
    ]
    if drops:
        drop, name = max(drops)
        words = f"{name} {100 * scores[name]:.1f} %, float {100 * before[name]:.1f} %"
        return Rating(level=_level(-drop, *(-x for x in LEVELS["scores"])), words=words)
    alike = [(v, k) for k, v in scores.items() if k in metrics and metrics[k].better == "higher"]
    if alike:
        value, name = min(alike)
        words = f"{name} {100 * value:.1f} %, {metrics[name].unit}"
        return Rating(level=_level(value, *LEVELS["agreement"]), words=words)
    if measured.get("agreement") is not None:
        share = float(measured["agreement"])
        words = f"{100 * share:.1f} % same answers as float"
        return Rating(level=_level(share, *LEVELS["agreement"]), words=words)
    if measured.get("sqnr_db") is not None:
        value = float(measured["sqnr_db"])
        return Rating(level=_level(value, *LEVELS["sqnr"]), words=f"SQNR {value:.1f} dB")
    return Rating(level="unknown", words="nothing was measured")


def _level(value: float, good_bound: float, fair_bound: float) -> Level:
    value += 1e-9  # a value on the bound is within it, whatever 0.8 - 0.79 is in float64
    return "good" if value >= good_bound else "fair" if value >= fair_bound else "bad"


def actions(target: SavedTarget, *, only: str = "") -> list[Action]:
    """Return the remedies, the one with the largest share of the noise first.

    Args:
        target: The target of a run, with its causes.
        only: Name of the target that the rules are restricted to; "" for no restriction.
    """
    shares = noise_shares(target.rows)
    groups: dict[tuple[CauseKind, str, str], list[tuple[str, Cause]]] = {}
    for name in sorted(shares, key=lambda n: -shares[n]):
        causes = target.causes.get(name) or []
        if causes and shares[name] >= WORTH:
            cause = causes[0]
            key = (cause.kind, cause.key, cause.value)
            groups.setdefault(key, []).append((name, cause))
    remedies = [_action(key[0], members, shares, only) for key, members in groups.items()]
    return sorted(remedies, key=lambda a: -a.share)


def _action(
    kind: CauseKind, members: Sequence[tuple[str, Cause]], shares: Mapping[str, float], only: str
) -> Action:
    first = members[0][1]
    return Action(
        kind=kind,
        title=KINDS[kind],
        layers=tuple(name for name, _ in members),
        share=sum(shares[name] for name, _ in members),
        evidence=first.evidence,
        remedy=first.remedy,
        recipe=recipe_of((cause for _, cause in members), only),
    )

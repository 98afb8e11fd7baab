"""Advice: what a run's numbers mean and what to do first, one phrase each.

Noise adds at the outputs, so a layer's part of it is `10**(-isolated / 10)` over the sum of all
layers'; that holds as long as the noises are independent and small.
"""

__all__ = ["Action", "Rating", "actions", "noise_shares", "verdict"]

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from quant.analysis.layer_error import LayerError
from quant.causes.cause import KINDS, Cause, recipe_of
from quant.metrics.metric import METRICS
from quant.results.saved_run import SavedTarget

WORTH = 0.002
"""The least share of the noise at the outputs for which a rule is written."""

SENSITIVE = 0.1
"""Share of all noise from which one layer is worth keeping in float, whatever its cause."""

LEVELS: Mapping[str, tuple[float, float]] = {
    "scores": (0.01, 0.03),
    "agreement": (0.97, 0.9),
    "sqnr": (20.0, 10.0),
}
"""Good and tolerable, by what is at hand: drop of the worst score in shares, agreement with float,
SQNR in dB. A reading aid; `quant gate` decides with the limits that you set."""

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
    """How a target fares.

    Attributes:
        level: "good", "fair", "bad" or "unknown".
        words: One phrase with the number it rests on.
    """

    level: Level
    words: str

    @property
    def label(self) -> str:
        """The verdict as a person reads it: "good", "look closer", "broken" or "not measured"."""
        return LABELS[self.level]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Layers that one remedy helps.

    Attributes:
        kind: Of their cause.
        title: What it is called.
        layers: Names, the worst first.
        share: Their part of the noise at the outputs, 0 to 1.
        evidence: Of the worst layer.
        remedy: Of it.
        recipe: A rule for each layer, to paste; "" where there is none.
    """

    kind: str
    title: str
    layers: tuple[str, ...]
    share: float
    evidence: str
    remedy: str
    recipe: str


def verdict(facts: Mapping[str, Any]) -> Rating:
    """Judge a target by what was measured of its simulation: scores, agreement, or SQNR."""
    seen = facts.get("simulated") or {}
    scores, before = seen.get("scores") or {}, seen.get("float_scores") or {}
    known = {m: METRICS[m] for m in METRICS}
    drops = [
        (before[k] - v, k)
        for k, v in scores.items()
        if before.get(k) is not None
        and v is not None
        and (k not in known or (known[k].better == "higher" and not known[k].against_float))
    ]
    if drops:
        drop, name = max(drops)
        words = f"{name} {100 * scores[name]:.1f} %, float {100 * before[name]:.1f} %"
        return Rating(level=_level(-drop, *(-x for x in LEVELS["scores"])), words=words)
    alike = [(v, k) for k, v in scores.items() if k in known and known[k].better == "higher"]
    if alike:
        value, name = min(alike)
        words = f"{name} {100 * value:.1f} %, {known[name].unit}"
        return Rating(level=_level(value, *LEVELS["agreement"]), words=words)
    if seen.get("agreement") is not None:
        share = float(seen["agreement"])
        words = f"{100 * share:.1f} % of the answers are float's"
        return Rating(level=_level(share, *LEVELS["agreement"]), words=words)
    if seen.get("sqnr_db") is not None:
        value = float(seen["sqnr_db"])
        return Rating(level=_level(value, *LEVELS["sqnr"]), words=f"SQNR {value:.1f} dB")
    return Rating(level="unknown", words="nothing was measured")


def _level(value: float, good: float, fair: float) -> Level:
    value += 1e-9  # on a limit is within it, whatever 0.8 - 0.79 is
    return "good" if value >= good else "fair" if value >= fair else "bad"


def noise_shares(rows: Sequence[LayerError]) -> dict[str, float]:
    """Return each measured layer's part of the noise at the outputs, 0 to 1."""
    known = {r.layer: r.isolated_sqnr_db for r in rows if not math.isnan(r.isolated_sqnr_db)}
    least = min(known.values(), default=0.0)
    if math.isinf(least):
        return dict.fromkeys(known, 1.0 / len(known) if least < 0 else 0.0)
    noise = {name: 10 ** ((least - value) / 10) for name, value in known.items()}
    total = sum(noise.values())
    return {name: value / total for name, value in noise.items()}


def actions(target: SavedTarget, *, only: str = "") -> list[Action]:
    """Return what to do, the largest part of the noise first.

    Args:
        target: With its causes.
        only: Name of the target that the rules are for; "" for all.
    """
    shares = noise_shares(target.rows)
    groups: dict[tuple[str, str, str], list[tuple[str, Cause]]] = {}
    for name in sorted(shares, key=lambda n: -shares[n]):
        causes = target.causes.get(name) or []
        if causes and shares[name] >= WORTH:
            cause = _sensitive(causes[0], name, shares[name])
            key = (cause.kind, cause.key, cause.value)
            groups.setdefault(key, []).append((name, cause))
    found = [_action(key[0], some, shares, only) for key, some in groups.items()]
    return sorted(found, key=lambda a: -a.share)


def _sensitive(cause: Cause, layer: str, share: float) -> Cause:
    """Give rounding noise that nothing explains a remedy where one layer makes much of all."""
    if cause.kind != "rounding" or cause.key or share < SENSITIVE:
        return cause
    said = "nothing is wrong with it, and still its rounding noise is what the outputs see most of"
    return Cause(
        kind="sensitive",
        strength=0.0,
        evidence=said,
        key="precision",
        value="float",
        place=layer,
    )


def _action(
    kind: str, some: Sequence[tuple[str, Cause]], shares: Mapping[str, float], only: str
) -> Action:
    first = some[0][1]
    return Action(
        kind=kind,
        title=KINDS[kind],
        layers=tuple(name for name, _ in some),
        share=sum(shares[name] for name, _ in some),
        evidence=first.evidence,
        remedy=first.remedy,
        recipe=recipe_of((cause for _, cause in some), only),
    )

"""Gate: limits, what was measured against them, and the verdict.

A measured number is never simply compared with a limit where it was measured on samples: it is
*pass* when the samples show that the truth is within the limit, *fail* when they show that it is
not, and *undecided* when there are too few of them to show either.
"""

__all__ = ["Decision", "Limit", "LimitResult", "Outcome", "Verdict"]

import math
from dataclasses import dataclass
from typing import Literal

from quant.gate.measures import MEASURES, LimitKind, shown

Outcome = Literal["pass", "fail", "undecided"]

RANK: dict[str, int] = {"fail": 0, "undecided": 1, "pass": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One promise that a quantized model must keep.

    Attributes:
        measure: Name in MEASURES.
        bound: The greatest or the least number allowed, as the measure says; in its unit, shares
            from 0 to 1.
        metric: Of accuracies: name of the metric, None for the run's first.
        target: Glob over names of targets.
        by: "class": the limit holds for each class of samples by itself.
        part: Name of a slice of the samples; None for all.
        layer: Glob over layers, for measures of layers.
        confidence: 1 - the chance of a wrong pass, and of a wrong fail.
        undecided: What an undecided limit counts as: "fail" or "pass".
        place: Where it stands: "gate.toml:3", or the flag.
    """

    measure: str
    bound: float
    metric: str | None = None
    target: str = "*"
    by: str | None = None
    part: str | None = None
    layer: str = "*"
    confidence: float = 0.95
    undecided: str = "fail"
    place: str = ""

    @property
    def about(self) -> LimitKind:
        """The measure's row in the table."""
        return MEASURES[self.measure]

    @property
    def level(self) -> float:
        """The chance of a wrong verdict in each direction."""
        return 1 - self.confidence

    def __str__(self) -> str:
        """Return "accuracy_drop of top1 at most 1 points, for each class"."""
        metric = f" of {self.metric}" if self.metric else ""
        layer = f" of '{self.layer}'" if self.layer != "*" else ""
        least = "at most" if self.about.bounded == "max" else "at least"
        text = f"{self.measure}{metric}{layer} {least} {shown(self.bound, self.about.unit)}"
        text += ", for each class" if self.by else ""
        return text + (f", slice '{self.part}'" if self.part else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One number against a limit.

    Attributes:
        outcome: "pass", "fail" or "undecided".
        value: As measured; nan where it is missing.
        low: The truth is less than this with chance at most 1 - confidence; `value` itself where
            nothing was sampled.
        high: The same for more.
        samples: How many it was measured on; 0 for a number that has nothing to do with samples.
        needed: How many more would decide it in four of five cases if the rest is like these; None
            where it is decided, or where no number would.
        part: "class 3", "output 'boxes'", "layer 'conv1'", or "".
        because: One phrase where the numbers do not say it all.
    """

    outcome: Outcome
    value: float
    low: float = math.nan
    high: float = math.nan
    samples: int = 0
    needed: int | None = None
    part: str = ""
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitResult:
    """What one limit came to for one target.

    Attributes:
        limit: The limit.
        target: Name of the target, or of the candidate.
        judged: The worst part.
        parts: Every class, output or layer that was judged by itself; `judged` alone if none was.
        layers: Layers that explain a breach, the worst first, each with a phrase.
    """

    limit: Limit
    target: str
    judged: Decision
    parts: tuple[Decision, ...] = ()
    layers: tuple[tuple[str, str], ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The worst part's."""
        return self.judged.outcome

    @property
    def breached(self) -> bool:
        """Whether it stops the gate."""
        return self.outcome == "fail" or (
            self.outcome == "undecided" and self.limit.undecided == "fail"
        )

    @property
    def excess(self) -> float:
        """How far the number is beyond its bound, as a share of it or in dB; for ranking."""
        away = self.judged.value - self.limit.bound
        away = away if self.limit.about.bounded == "max" else -away
        scale = 1.0 if self.limit.about.unit == "dB" else max(abs(self.limit.bound), 1e-12)
        return math.inf if math.isnan(away) else away / scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a gate found.

    Attributes:
        subject: What was judged: the model's name.
        results: One for each limit and target, in the order of the limits.
        notes: Sentences: what changed since a baseline, when a sequential run stopped.
    """

    subject: str
    results: tuple[LimitResult, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no limit stops the gate; False also for a verdict without any result."""
        return bool(self.results) and not any(r.breached for r in self.results)

    @property
    def outcome(self) -> Outcome:
        """The worst of the limits' outcomes; "fail" without any."""
        found = [r.outcome for r in self.results]
        return min(found, key=RANK.__getitem__, default="fail")

    @property
    def breaches(self) -> list[LimitResult]:
        """The results that stop the gate, failures before undecided ones, the furthest first."""
        found = [r for r in self.results if r.breached]
        return sorted(found, key=lambda r: (RANK[r.outcome], -r.excess))

"""Limits, the decision on each of them, and the verdict of a gate.

A number that was measured on samples is an estimate. The decision is *pass* when the samples show
that the true value is within the limit, *fail* when they show that it is not, and *undecided* when
there are too few samples to show either.
"""

__all__ = ["Decision", "Limit", "LimitResult", "Outcome", "Verdict"]

import math
from dataclasses import dataclass
from typing import Literal

from quant.gate.measures import MEASURES, LimitKind, with_unit

Outcome = Literal["pass", "fail", "undecided"]

RANK: dict[str, int] = {"fail": 0, "undecided": 1, "pass": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One bound on one measure of a quantized model.

    Attributes:
        measure: Name in MEASURES.
        bound: The greatest or the least value allowed, as `kind.bounded` says; in the measure's
            unit, shares from 0 to 1.
        metric: For accuracies the name of the metric; None for the run's first metric.
        target: Glob over the names of targets.
        by: "class" applies the limit to each class of samples separately; None to all together.
        part: Name of a slice of the samples; None for all samples.
        layer: Glob over layer names, for measures of layers.
        confidence: 1 - the chance of a wrong pass, and 1 - the chance of a wrong fail.
        undecided: What an undecided limit counts as: "fail" or "pass".
        place: Where the limit is written: "gate.toml:3", or the flag.
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
    def kind(self) -> LimitKind:
        """The measure's row in MEASURES."""
        return MEASURES[self.measure]

    @property
    def level(self) -> float:
        """The chance of a wrong verdict in each direction."""
        return 1 - self.confidence

    def __str__(self) -> str:
        """Return "accuracy_drop of top1 at most 1 points, for each class"."""
        metric = f" of {self.metric}" if self.metric else ""
        layer = f" of '{self.layer}'" if self.layer != "*" else ""
        least = "at most" if self.kind.bounded == "max" else "at least"
        text = f"{self.measure}{metric}{layer} {least} {with_unit(self.bound, self.kind.unit)}"
        text += ", for each class" if self.by else ""
        return text + (f", slice '{self.part}'" if self.part else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The outcome for one measured number, with the numbers it rests on.

    Attributes:
        outcome: "pass", "fail" or "undecided".
        value: The measured number; nan where it is missing.
        low: Lower bound: the true value is below it with a chance of at most 1 - confidence. Equal
            to `value` where nothing was sampled.
        high: Upper bound, with the same chance that the true value is above it.
        samples: Number of samples that were measured; 0 for a number that involves no samples.
        needed: Number of further samples that would decide the limit in four of five cases if they
            are like the measured ones; None where it is decided, or where no number would do.
        part: "class 3", "output 'boxes'", "layer 'conv1'", or "" for the whole.
        because: One phrase that explains the numbers, or "".
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
    """The result of one limit for one target.

    Attributes:
        limit: The limit.
        target: Name of the target, or of the candidate.
        decision: The decision on the worst part.
        parts: One decision for each class, output or layer; only `decision` where there are no parts.
        layers: Layers that explain a breach, the worst first, each with a phrase.
    """

    limit: Limit
    target: str
    decision: Decision
    parts: tuple[Decision, ...] = ()
    layers: tuple[tuple[str, str], ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The outcome of the worst part."""
        return self.decision.outcome

    @property
    def breached(self) -> bool:
        """Whether the gate fails because of this limit."""
        return self.outcome == "fail" or (
            self.outcome == "undecided" and self.limit.undecided == "fail"
        )

    @property
    def excess(self) -> float:
        """How far the value is beyond the bound, in dB or as a share of the bound; for ranking."""
        excess = self.decision.value - self.limit.bound
        excess = excess if self.limit.kind.bounded == "max" else -excess
        scale = 1.0 if self.limit.kind.unit == "dB" else max(abs(self.limit.bound), 1e-12)
        return math.inf if math.isnan(excess) else excess / scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The results of all limits of a gate.

    Attributes:
        subject: Name of the model.
        results: One for each limit and target, in the order of the limits.
        notes: Sentences about the whole gate: what changed since the baseline, when a sequential
            gate stopped.
    """

    subject: str
    results: tuple[LimitResult, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no limit is breached; False also for a verdict without any result."""
        return bool(self.results) and not any(r.breached for r in self.results)

    @property
    def outcome(self) -> Outcome:
        """The worst of the limits' outcomes; "fail" without any."""
        outcomes = [r.outcome for r in self.results]
        return min(outcomes, key=RANK.__getitem__, default="fail")

    @property
    def breaches(self) -> list[LimitResult]:
        """The breached limits: failed before undecided ones, then by excess."""
        breaches = [r for r in self.results if r.breached]
        return sorted(breaches, key=lambda r: (RANK[r.outcome], -r.excess))

"""The goal of a search: how accurate a mixed plan must be, how much it may cost, where to look."""

__all__ = ["AXES", "Budget", "SearchGoal", "parse_budget"]

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from quant.common.errors import InputError

AXES: Mapping[str, str] = MappingProxyType({"latency": "ms", "size": "MB", "ops": "Gop"})
"""What can be paid with: time of a sample, weights (10^6 bytes), 10^9 bit operations (multiply-
accumulates * bits of the weight * bits of the activation)."""

UNITS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "latency": {"s": 1e3, "ms": 1.0, "us": 1e-3},
        "size": {"B": 1e-6, "kB": 1e-3, "KB": 1e-3, "MB": 1.0, "GB": 1e3},
        "ops": {"": 1e-9, "M": 1e-3, "G": 1.0, "T": 1e3, "Gop": 1.0},
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that a plan may cost on one axis.

    Attributes:
        axis: One of AXES.
        most: In the axis's unit, or a share of what the most exact plan costs.
        share: Whether `most` is such a share.
    """

    axis: str
    most: float
    share: bool = False

    def limit(self, most_exact: float) -> float:
        """Return the most in the axis's unit, where the most exact plan costs `most_exact`."""
        return self.most * most_exact if self.share else self.most


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchGoal:
    """What `quant search` looks for.

    Attributes:
        max_drop: The most that the metric may lose against float, a share; None for no such limit.
        min_sqnr: The least SQNR at the worst output, in dB; None for no such limit.
        budgets: At most one an axis.
        precisions: Those that each group of layers chooses among, cheapest first; () for the target's.
        axis: What the Pareto front weighs against the error: the first budget's, or "latency".
        sensitivity: "nmse", "kl", or the name of a metric.
        samples: Number of samples on which sensitivities are measured.
        groups: The most groups of layers; 0 for as many as the graph has.
        seconds: Time after which nothing new is begun; inf for no limit.
        device: Name of one of the target's devices, or a TOML file; None for the target's first.
        latency: CSV file of measured layers; None for none.
    """

    max_drop: float | None = None
    min_sqnr: float | None = None
    budgets: tuple[Budget, ...] = ()
    precisions: tuple[str, ...] = ()
    axis: str = ""
    sensitivity: str = "nmse"
    samples: int = 64
    groups: int = 0
    seconds: float = math.inf
    device: str | None = None
    latency: str | None = None

    def __post_init__(self) -> None:
        for flag, value, least in (
            ("--search-samples", self.samples, 1),
            ("--groups", self.groups, 0),
        ):
            if value < least:
                raise InputError(f"{flag}: must be {least} or more, saw {value}. Raise it.")
        if not self.seconds > 0:
            raise InputError(
                f"--time-budget: must be over 0 seconds, saw {self.seconds:g}. Raise it."
            )
        axes = [b.axis for b in self.budgets]
        for axis in AXES:
            if axes.count(axis) > 1:
                raise InputError(f"--budget: {axis} is limited twice. Keep one of them.")

    @property
    def limited(self) -> bool:
        """Whether anything says how accurate or how cheap the plan must be."""
        return self.max_drop is not None or self.min_sqnr is not None or bool(self.budgets)


def parse_budget(text: str) -> list[Budget]:
    """Return "latency=2ms,size=3MB" as budgets; "size=60%" is a share of the most exact plan's.

    Raises:
        InputError: An unknown axis, no number or an unknown unit.
    """
    return [_budget(part, text) for part in text.split(",")]


def _budget(part: str, text: str) -> Budget:
    axis, _, amount = (word.strip() for word in part.partition("="))
    match = re.fullmatch(r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+)\s*([A-Za-z]*|%)", amount)
    if axis in AXES and match is not None and float(match[1]) > 0:
        if match[2] == "%":
            return Budget(axis=axis, most=float(match[1]) / 100, share=True)
        if match[2] in UNITS[axis]:
            return Budget(axis=axis, most=float(match[1]) * UNITS[axis][match[2]])
    raise InputError(
        f"--budget: latency=2ms, size=3MB, ops=1.2G or a share as size=60% is wanted, saw '{text}'. "
        "Name one of these axes, a number over 0 and its unit."
    )

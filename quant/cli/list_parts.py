"""Listing: the registered parts of a kind, each with one line about it."""

__all__ = ["parts"]

from typing import Any

from quant.calibration import SOURCES
from quant.metrics.metric import METRICS
from quant.observers import OBSERVERS
from quant.target.table import TARGETS


def parts(kind: str) -> list[tuple[str, str]]:
    """Return `(name, what it is)` of every part of a kind.

    Args:
        kind: "targets", "observers", "metrics", "sources", or "rules": those of all checks.
    """
    if kind == "rules":
        return [row for name in TARGETS for row in TARGETS[name].rules.items()]
    tables: dict[str, Any] = {
        "targets": TARGETS,
        "observers": OBSERVERS,
        "metrics": METRICS,
        "sources": SOURCES,
    }
    table = tables[kind]
    return [(name, _about(table[name])) for name in table]


def _about(part: Any) -> str:
    """Return a part's own first sentence: its title, unit, or docstring."""
    if hasattr(part, "title"):
        number = part.activation
        return f"{part.title}: {number.name} activations, {part.weight.name} weights"
    if hasattr(part, "better"):
        return f"{part.unit}, {part.better} is better"
    return str(part.__doc__ or "").strip().split("\n")[0]

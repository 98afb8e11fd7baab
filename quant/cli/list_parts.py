"""Listing: the registered parts of a kind, each with one line about it."""

__all__ = ["parts"]

from typing import Any

from quant.common.registry import Registry


def parts(kind: str) -> list[tuple[str, str]]:
    """Return `(name, what it is)` of every part of a kind.

    Args:
        kind: "targets", "observers", "metrics", "sources", or "rules": those of all checks.
    """
    table = _table("targets" if kind == "rules" else kind)
    if kind == "rules":
        return [row for name in table for row in table[name].rules.items()]
    return [(name, _about(table[name])) for name in table]


def _table(kind: str) -> Registry[Any]:
    """Return the registry of a kind; only its own modules are imported."""
    if kind == "targets":
        from quant.target.table import TARGETS

        return TARGETS
    if kind == "observers":
        from quant.observers import OBSERVERS

        return OBSERVERS
    if kind == "metrics":
        from quant.metrics.metric import METRICS

        return METRICS
    from quant.calibration.sources.data import SOURCES

    return SOURCES


def _about(part: Any) -> str:
    """Return a part's own first sentence: its title, unit, or docstring."""
    if hasattr(part, "title"):
        number = part.activation
        return f"{part.title}: {number.name} activations, {part.weight.name} weights"
    if hasattr(part, "better"):
        return f"{part.about}; {part.unit}, {part.better} is better"
    return str(part.__doc__ or "").strip().split("\n")[0]

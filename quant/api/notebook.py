"""A run as one small block of HTML for notebooks: verdicts, numbers and the way to the report."""

__all__ = ["run_html"]

import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from quant.api.target_run import TargetRun
from quant.results.advice import rating_of
from quant.results.saved_run import SavedRun, SavedTarget
from quant.results.weight_size import size_text, weight_megabytes
from quant.visualize.label import escaped
from quant.visualize.report.page import decibel

COLOURS = {"good": "#2a9d5c", "fair": "#d18b00", "bad": "#d64545", "unknown": "#8a8f98"}
"""Of the dot before a verdict; they are seen on white and on black."""

HEAD = (
    *("target", "verdict", "against float", "SQNR", "integer layers", "weights"),
    "time of a sample",
)
BOX = (
    "font:13px/1.5 system-ui,sans-serif;display:inline-block;padding:12px 16px;border-radius:10px;"
    "border:1px solid rgba(128,128,128,.35);max-width:100%;overflow-x:auto"
)
CELL = "padding:4px 14px 4px 0;text-align:left;white-space:nowrap;background:none;border:0"
QUIET = "opacity:.65"


def run_html(saved: SavedRun, targets: Mapping[str, TargetRun], breaches: Sequence[str]) -> str:
    """Return a block of HTML with styles of its own; whatever comes from the run is escaped.

    Args:
        saved: The run, read back from its folder.
        targets: Each target's numbers, by name.
        breaches: Limits that no plan keeps, one sentence each.
    """
    facts, report = saved.facts, saved.folder / "report.html"
    data = facts["data"]
    where = "held-out samples" if data["held_out"] else "of the same samples"
    counts = f"calibrated on {data['samples']} samples, measured on {data['measured']} {where}"
    title = f"<b style='font-size:1.15em'>{_text(facts['model']['name'])}</b>"
    link = f"<a href='{_text(_link(report))}' target='_blank'>report.html</a>"
    parts = [
        f"<div style='{BOX}'>",
        f"<div>{title} <span style='{QUIET}'>{_text(counts)}</span></div>",
        "<table style='border-collapse:collapse;margin:8px 0;border:0;font:inherit;color:inherit'>",
        f"<tr>{''.join(_cell('th', _text(name), QUIET) for name in HEAD)}</tr>",
        *(_row(saved_target, targets[saved_target.name]) for saved_target in saved.targets),
        "</table>",
        *(f"<div style='color:{COLOURS['bad']}'>{_text(breach)}</div>" for breach in breaches),
        _warnings(facts.get("warnings") or ()),
        f"<div>{link} <span style='{QUIET}'>in {_text(report.parent)}</span></div>",
        "</div>",
    ]
    return "".join(parts)


def _row(saved: SavedTarget, target: TargetRun) -> str:
    rating, layers = rating_of(saved.facts), saved.facts["layers"]
    before, after = weight_megabytes(saved.graph, saved.plan)
    cells = (
        f"<b>{_text(target.name)}</b>",
        f"<span style='color:{COLOURS[rating.level]}'>\u25cf {_text(rating.label)}</span>",
        _text(rating.words),
        _text(decibel(target.sqnr_db)),
        _text(f"{layers['weighted_integer']} of {layers['weighted']}"),
        _text(f"{size_text(before)} \u2192 {size_text(after)}"),
        _text(_time(target)),
    )
    return f"<tr>{''.join(_cell('td', cell) for cell in cells)}</tr>"


def _cell(tag: str, markup: str, style: str = "") -> str:
    return f"<{tag} style='{CELL};{style}'>{markup}</{tag}>"


def _time(target: TargetRun) -> str:
    """Say what was measured here, or what is predicted for a device."""
    if target.timing:
        float_ms, integer_ms = target.timing["float_ms"], target.timing["integer_ms"]
        return (
            f"{integer_ms:.3g} ms, float {float_ms:.3g} ms ({target.timing['speedup']:.2f}\u00d7)"
        )
    if target.predicted_ms is not None:
        return f"{target.predicted_ms:.3g} ms predicted for {target.predicted_device}"
    return "\u2013"


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    count = len(warnings)
    rows = "".join(f"<li>{_text(warning)}</li>" for warning in warnings)
    head = f"{count} warning{'s' * (count != 1)}"
    return f"<details><summary>{head}</summary><ul style='margin:4px 0'>{rows}</ul></details>"


def _link(path: Path) -> str:
    """Return the way to a file: relative below the current folder, where notebooks can follow it."""
    whole = Path(os.path.abspath(path))
    here = Path.cwd()
    return (
        quote(whole.relative_to(here).as_posix()) if whole.is_relative_to(here) else whole.as_uri()
    )


def _text(value: object) -> str:
    """Return text that is neither markup nor an attribute's end, and has no character that hides."""
    return html.escape(escaped(str(value)), quote=True)

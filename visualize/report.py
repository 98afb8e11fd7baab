"""The report of a run: one HTML page that holds all it needs and asks nothing of the network."""

__all__ = ["report_html", "write_report"]

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from quant.files import write_text
from quant.saved_run import SavedRun
from quant.visualize.label import escaped
from quant.visualize.report_data import json_for_html, report_data

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("core.js", "chart.js", "table.js", "heat.js", "drawer.js", "graph.js", "page.js")
WORST = 8
"""Layers that the first screen names."""


def write_report(run: SavedRun, path: Path) -> None:
    """Write the page, atomically; equal runs give equal bytes."""
    write_text(path, report_html(run))


def report_html(run: SavedRun) -> str:
    """Return the page.

    Names out of models and files are escaped: the template does it for what it prints, the data
    are JSON in an inert element, and the scripts make text nodes of them. Should one slip through,
    the page's own policy runs no script and no style but these, by their hashes.
    """
    data = report_data(run)
    style, script = _style(), _script()
    page = _environment().get_template("report.html")
    return page.render(
        data=data,
        worst=[_worst(data, target) for target in data["targets"]],
        json=Markup(json_for_html(data)),
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"line": escaped, "decibel": _decibel, "percent": _percent}
    return found


def _decibel(value: float | None) -> str:
    return "\u2013" if value is None else "lossless" if value >= 999 else f"{value:.1f} dB"


def _percent(value: float | None, digits: int = 0) -> str:
    return "\u2013" if value is None else f"{100 * value:.{digits}f} %"


@cache
def _style() -> str:
    return (TEMPLATES / "report.css").read_text(encoding="utf-8")


@cache
def _script() -> str:
    parts = [(TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def _hash(text: str) -> str:
    """Return a source expression of a Content-Security-Policy."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _worst(data: dict[str, Any], target: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the layers that make most of the noise, the first of their causes with them."""
    rows = [
        {"index": i, "name": data["names"][i], "op": data["ops"][i], **row}
        for i, row in enumerate(target["rows"])
        if row is not None and row["share"]
    ]
    rows.sort(key=lambda row: (-row["share"], row["index"]))
    return rows[:WORST]

"""The report of a run: one HTML page that contains everything and loads nothing."""

__all__ = ["report_html", "write_report"]

from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from quant.common.files import write_text
from quant.results.saved_run import SavedRun
from quant.visualize.report.data import json_for_html, report_data
from quant.visualize.report.page import render, template_text

SCRIPTS = ("core.js", "chart.js", "table.js", "heat.js", "drawer.js", "graph.js")
SEARCHED = ("front.js", "plan.js")
"""Scripts that only the page of a search for mixed precision has."""
WORST = 8
"""Layers that are listed on the first screen."""


def write_report(run: SavedRun, path: Path) -> None:
    """Write the page, atomically; equal runs give equal bytes."""
    write_text(path, report_html(run))


def report_html(run: SavedRun) -> str:
    """Return the page.

    Names from models and files cannot become markup: the template escapes what it prints, the data
    are JSON in an inert element, and the scripts only make text nodes.
    """
    data = report_data(run)
    searched = any("search" in target for target in data["targets"])
    return render(
        "report.html",
        _script(searched),
        searched=searched,
        data=data,
        gate=run.gate,
        worst=[_worst(data, target) for target in data["targets"]],
        json=Markup(json_for_html(data)),
    )


@cache
def _script(searched: bool) -> str:
    names = (*SCRIPTS, *(SEARCHED if searched else ()), "page.js")
    parts = [template_text(name) for name in names]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def _worst(data: dict[str, Any], target: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the layers with the largest shares of the noise."""
    rows = [
        {"index": i, "name": data["names"][i], "op": data["ops"][i], **row}
        for i, row in enumerate(target["rows"])
        if row is not None and row["share"]
    ]
    rows.sort(key=lambda row: (-row["share"], row["index"]))
    return rows[:WORST]

"""The differences between two runs as an HTML page."""

__all__ = ["diff_html"]

import math

from quant.results.run_diff import RunDiff
from quant.visualize.report.page import decibel, render


def diff_html(diff: RunDiff) -> str:
    """Return the page, in one file and without a script."""
    return render("diff.html", script="", diff=diff, decibel=decibel, isnan=math.isnan)

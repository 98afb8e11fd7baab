"""Two runs compared as one HTML page."""

__all__ = ["diff_html"]

import math

from quant.results.run_diff import RunDiff
from quant.visualize.report.page import decibel, render


def diff_html(diff: RunDiff) -> str:
    """Return a page that holds all it needs and runs no script."""
    return render("diff.html", script="", diff=diff, decibel=decibel, isnan=math.isnan)

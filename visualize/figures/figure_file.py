"""Writes a figure as PNG and SVG: equal figures give equal bytes, whatever the user's settings."""

__all__ = ["drawing", "save_figure"]

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib import rc_context, style
from matplotlib.figure import Figure

from quant.common.files import atomic

DPI = 150

SETTINGS = {
    "svg.hashsalt": "quant",  # else the ids in an SVG change from run to run
    "svg.fonttype": "none",  # names can be searched for, and the file is small
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8b96a5",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.grid.axis": "y",
    "grid.color": "#e3e7ec",
    "text.parse_math": False,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Use these settings only, whatever the user's matplotlibrc says."""
    with style.context("default"), rc_context(SETTINGS):  # type: ignore[arg-type]
        yield


def save_figure(figure: Figure, path: Path) -> None:
    """Write the PNG `path`, and beside it an SVG of the same name, atomically."""
    with atomic(path) as scratch:
        figure.savefig(scratch, format="png", dpi=DPI, metadata={"Software": None})
    with atomic(path.with_suffix(".svg")) as scratch:
        figure.savefig(scratch, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})

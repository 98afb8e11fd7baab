"""Label places: where a label at a point hides nothing, found by trying; the same each time."""

__all__ = ["Placer"]

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

SIDES = (
    *((1, 0), (1, 1), (1, -1), (0, 1), (0, -1)),
    *((-1, 0), (-1, 1), (-1, -1)),
)
"""Directions from the point to its label, the best to read first."""

STEPS = (9.0, 18.0, 30.0, 44.0)
"""Points of distance."""

EVERY = 4.0
"""Pixels between what must stay visible on a line."""

ALIGN = {-1: "right", 0: "center", 1: "left"}
STAND = {-1: "top", 0: "center", 1: "bottom"}


class Placer:
    """Sets labels into axes one by one; the first ones have the best places.

    Args:
        axes: Their limits no longer change.
        lines: Each the corners of a line in data coordinates, or one point, that should stay visible.
    """

    def __init__(self, axes: Axes, lines: Sequence[Sequence[tuple[float, float]]]) -> None:
        self._axes = axes
        figure: Any = axes.figure
        canvas: Any = FigureCanvasAgg(figure)
        self._pen = canvas.get_renderer()
        spots = [_dense(axes.transData.transform(line)) for line in lines if len(line)]
        self._spots = np.concatenate([*spots, np.empty((0, 2))])
        self._boxes: list[Bbox] = []

    def keep_clear(self, low: tuple[float, float], high: tuple[float, float]) -> None:
        """Let no label stand between two corners, in data coordinates."""
        self._boxes.append(Bbox(self._axes.transData.transform([low, high])))

    def put(self, x: float, y: float, words: str, **how: Any) -> None:
        """Write a label near a point, where it hides least; a line leads to it from afar."""
        made = self._axes.annotate(
            words,
            (x, y),
            xytext=(0, 0),
            textcoords="offset points",
            annotation_clip=False,
            zorder=6,
            **how,
        )
        tried = [(step, side) for step in STEPS for side in SIDES]
        costs = [self._try(made, step, side) for step, side in tried]
        step, side = tried[int(np.argmin(costs))]
        self._boxes.append(self._box(made, step, side))
        if step > STEPS[1]:
            self._axes.annotate(
                "",
                (x, y),
                xytext=made.xyann,
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "lw": 0.6, "color": "#69707a"},
                zorder=5,
            )

    def _box(self, made: Any, step: float, side: tuple[int, int]) -> Bbox:
        far = step / (2**0.5 if all(side) else 1)
        made.xyann = (side[0] * far, side[1] * far)
        made.set_ha(ALIGN[side[0]])
        made.set_va(STAND[side[1]])
        found: Bbox = made.get_window_extent(self._pen).padded(2)
        return found

    def _try(self, made: Any, step: float, side: tuple[int, int]) -> float:
        """Return how bad a place is: over another label, out of the axes, on points, far away."""
        box = self._box(made, step, side)
        room = self._axes.get_window_extent(self._pen)
        over = sum(1 for other in self._boxes if box.overlaps(other))
        out = sum(
            max(0.0, a)
            for a in (room.x0 - box.x0, box.x1 - room.x1, room.y0 - box.y0, box.y1 - room.y1)
        )
        inside = (self._spots > box.min) & (self._spots < box.max)
        hidden = int(inside.all(axis=1).sum())
        return float(1000 * over + 50 * out + 5 * hidden + step + SIDES.index(side))


def _dense(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points about EVERY pixels apart on a line."""
    far = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    at = np.linspace(0, far[-1], int(far[-1] / EVERY) + 1) if far[-1] > 0 else far
    return np.stack([np.interp(at, far, corners[:, axis]) for axis in (0, 1)], axis=1)

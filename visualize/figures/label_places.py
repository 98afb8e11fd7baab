"""Places labels near their points where they hide least; the same input gives the same places."""

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
"""Directions from the point to its label, the most readable first."""

STEPS = (9.0, 18.0, 30.0, 44.0)
"""Distances of a label from its point, in points."""

EVERY = 4.0
"""Pixels between the spots of a line that must stay visible."""

ALIGN = {-1: "right", 0: "center", 1: "left"}
STAND = {-1: "top", 0: "center", 1: "bottom"}


class Placer:
    """Places labels in axes one by one; the first labels get the best places.

    Args:
        axes: Axes whose limits no longer change.
        lines: Lines that should stay visible, each as its corners, or one point, in data coordinates.
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
        """Keep a rectangle between two corners, in data coordinates, free of labels."""
        self._boxes.append(Bbox(self._axes.transData.transform([low, high])))

    def put(self, x: float, y: float, words: str, **style: Any) -> None:
        """Write a label near a point where it hides least; a line connects a distant label."""
        label = self._axes.annotate(
            words,
            (x, y),
            xytext=(0, 0),
            textcoords="offset points",
            annotation_clip=False,
            zorder=6,
            **style,
        )
        tried = [(step, side) for step in STEPS for side in SIDES]
        costs = [self._try(label, step, side) for step, side in tried]
        step, side = tried[int(np.argmin(costs))]
        self._boxes.append(self._box(label, step, side))
        if step > STEPS[1]:
            self._axes.annotate(
                "",
                (x, y),
                xytext=label.xyann,
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "lw": 0.6, "color": "#69707a"},
                zorder=5,
            )

    def _box(self, label: Any, step: float, side: tuple[int, int]) -> Bbox:
        far = step / (2**0.5 if all(side) else 1)
        label.xyann = (side[0] * far, side[1] * far)
        label.set_ha(ALIGN[side[0]])
        label.set_va(STAND[side[1]])
        box: Bbox = label.get_window_extent(self._pen).padded(2)
        return box

    def _try(self, label: Any, step: float, side: tuple[int, int]) -> float:
        """Return the cost of a place: over another label, outside the axes, on points, far away."""
        box = self._box(label, step, side)
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

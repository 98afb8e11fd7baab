"""The figure of a selection: equal for equal numbers, whole whatever is in them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quant.calibration.selection.sufficiency import Step, Sufficiency
from quant.visualize.figures.selection import PoolPoints, selection_figure


def enough(count: int) -> Sufficiency:
    steps = [
        Step(
            samples=8 * 2**i,
            largest=0.2 / (i + 1),
            tensor="a",
            median=0.01,
            noise_db=4.0 / (i + 1),
            noisiest="a",
            saturated=0.001,
            clipped="a",
        )
        for i in range(count)
    ]
    return Sufficiency(samples=90, observer="mse", target="onnxruntime", steps=tuple(steps))


def points(count: int, axes: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, axes))


@pytest.mark.parametrize(("count", "axes"), [(90, 16), (1, 1), (40, 2)])
def test_equal_selections_are_equal_files(tmp_path: Path, count: int, axes: int) -> None:
    """PNG and SVG; one sample, one axis, no steps."""
    where = points(count, axes)
    where[-1] = np.nan
    for name in ("a", "b"):
        pool = PoolPoints(
            points=where,
            chosen=[0],
            duplicates=[2, 3] if count > 3 else [],
            out_of_domain=[5] if count > 5 else [],
        )
        title = "net$x^{$\n\x1b[31m: of 漢字"
        selection_figure(pool, enough(count // 20), tmp_path / f"{name}.png", title)

    for kind in ("png", "svg"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert len(image.getcolors(1 << 20) or []) > 20

"""What the tests of calibration share: inputs of a model, and folders of small pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quant.calibration import InputSpec


def _spec(
    shape: tuple[int | None, ...] = (None, 3, None, None), name: str = "x", dtype: str = "float32"
) -> InputSpec:
    return InputSpec(name=name, dtype=np.dtype(dtype), shape=shape)


@pytest.fixture
def spec() -> Callable[..., InputSpec]:
    return _spec


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of a folder of 4x4 pictures; the grey of each is its position."""

    def make(*names: str) -> Path:
        folder = tmp_path / "photos"
        for i, name in enumerate(names):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (i, i, i)).save(folder / name, "PNG")
        return folder

    return make

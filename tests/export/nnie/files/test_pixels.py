"""The mapper gets the very pictures that the calibration saw, or is told that there are none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from quant.export.nnie.files.feeds import recover_pixels
from quant.preprocess.image_to_tensor import Preprocess

EVERY = np.arange(256, dtype=np.uint8).reshape(16, 16)


@given(
    st.lists(st.floats(-1000, 1000), min_size=3, max_size=3),
    st.lists(st.floats(1e-3, 1e5), min_size=3, max_size=3),
    st.sampled_from(["RGB", "BGR"]),
)
def test_every_pixel_value_comes_back(mean: list[float], std: list[float], channels: str) -> None:
    """All of 0..255 in every channel, under odd means and stds."""
    picture = np.stack([EVERY, EVERY[::-1], EVERY.T], axis=2)
    told = Preprocess(mean=tuple(mean), std=tuple(std), channels=channels)
    found = recover_pixels(told.apply(Image.fromarray(picture)), mean, std)

    assert found is not None
    assert found.dtype == np.uint8
    planes = picture.transpose(2, 0, 1)
    assert np.array_equal(found, planes if channels == "RGB" else planes[::-1])


def test_pixels_that_others_normalized_in_float32_are_pixels() -> None:
    """Torchvision divides by 255 first; the same numbers but for the last bits."""
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    tensor = (np.stack([EVERY] * 3) / np.float32(255) - mean[:, None, None]) / std[:, None, None]
    found = recover_pixels(tensor, (255 * mean).tolist(), (255 * std).tolist())

    assert found is not None
    assert np.array_equal(found, np.stack([EVERY] * 3))


@pytest.mark.parametrize("value", [0.5, 0.002, -1.0, 256.0, np.nan, np.inf, 1e30])
def test_one_value_that_is_no_pixel_is_enough(value: float) -> None:
    """Rounding it would calibrate on another picture."""
    tensor = EVERY.astype(np.float32)[None].copy()
    assert recover_pixels(tensor, [0.0], [1.0]) is not None

    tensor[0, 3, 4] = value
    assert recover_pixels(tensor, [0.0], [1.0]) is None


@pytest.mark.parametrize("shape", [(16, 16), (3, 16, 16), (1, 0, 16), (1, 1, 16, 16)])
def test_another_shape_has_no_pixels(shape: tuple[int, ...]) -> None:
    assert recover_pixels(np.zeros(shape, np.float32), [0.0], [1.0]) is None

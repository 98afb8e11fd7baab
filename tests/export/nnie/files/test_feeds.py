"""Pixels come back exactly from tensors, and mean and std split between mapper and first layer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from quant.export.nnie.files.feeds import choose_norm, recover_pixels
from quant.export.nnie.files.mapper_cfg import SCALE_ABOVE
from quant.preprocess.image_to_tensor import Preprocess

MEANS = st.floats(0, 255) | st.just(0.0)


STDS = st.floats(0.01, 1e5)


def mapped(x: float, kind: int, mean: float, scale: float) -> float:
    """The formulas of the mapper's guide, by hand."""
    return {0: x, 2: x - mean, 3: x * scale, 5: (x - mean) * scale}[kind]


@given(st.lists(st.tuples(MEANS, STDS), min_size=1, max_size=3), st.integers(0, 255))
def test_mapper_and_first_layer_make_the_tensor(pairs: list[tuple[float, float]], x: int) -> None:
    """In the mapper's own formulas: whatever is split, the product is what the model was fed."""
    mean, std = [m for m, _ in pairs], [s for _, s in pairs]
    norm = choose_norm(mean, std)
    factors = norm.factors if norm.factors is not None else np.ones(len(pairs))

    assert norm.data_scale > SCALE_ABOVE
    for c, (m, s) in enumerate(pairs):
        made = factors[c] * mapped(x, norm.norm_type, norm.mean[c], norm.data_scale)
        assert made == pytest.approx((x - m) / s, rel=1e-12)


@pytest.mark.parametrize(
    ("mean", "std", "kind"),
    [((0, 0, 0), (1, 1, 1), 0), ((1, 2, 3), (1, 1, 1), 2), ((0,), (2,), 3), ((5,), (2,), 5)],
)
def test_nothing_is_asked_of_the_mapper_that_changes_nothing(
    mean: tuple[float, ...], std: tuple[float, ...], kind: int
) -> None:
    norm = choose_norm(mean, std)

    assert norm.norm_type == kind
    assert norm.factors is None
    assert norm.data_scale == 1 / std[0]


def test_std_that_differ_leave_the_quotients_to_the_first_layer() -> None:
    norm = choose_norm((1, 2, 3), (50, 100, 60))

    assert norm.data_scale == 1 / 60
    assert norm.factors is not None
    assert norm.factors.tolist() == [60 / 50, 60 / 100, 1.0]


def test_a_scale_that_the_mapper_refuses_goes_to_the_first_layer() -> None:
    """data_scale must be above 1/4096; (0, 4096) is the first std that is not."""
    assert choose_norm((1,), (4095.9,)).factors is None

    norm = choose_norm((1,), (4096,))
    assert (norm.norm_type, norm.data_scale) == (2, 1.0)
    assert norm.factors is not None
    assert norm.factors.tolist() == [1 / 4096]


EVERY = np.arange(256, dtype=np.uint8).reshape(16, 16)


@given(
    st.lists(st.floats(-1000, 1000), min_size=3, max_size=3),
    st.lists(st.floats(1e-3, 1e5), min_size=3, max_size=3),
    st.sampled_from(["RGB", "BGR"]),
)
def test_every_pixel_value_comes_back(mean: list[float], std: list[float], channels: str) -> None:
    """All of 0..255 in every channel, under odd means and stds."""
    picture = np.stack([EVERY, EVERY[::-1], EVERY.T], axis=2)
    preprocess = Preprocess(mean=tuple(mean), std=tuple(std), channels=channels)
    pixels = recover_pixels(preprocess.apply(Image.fromarray(picture)), mean, std)

    assert pixels is not None
    assert pixels.dtype == np.uint8
    planes = picture.transpose(2, 0, 1)
    assert np.array_equal(pixels, planes if channels == "RGB" else planes[::-1])


def test_pixels_that_others_normalized_in_float32_are_pixels() -> None:
    """Torchvision divides by 255 first; the same numbers but for the last bits."""
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    tensor = (np.stack([EVERY] * 3) / np.float32(255) - mean[:, None, None]) / std[:, None, None]
    pixels = recover_pixels(tensor, (255 * mean).tolist(), (255 * std).tolist())

    assert pixels is not None
    assert np.array_equal(pixels, np.stack([EVERY] * 3))


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

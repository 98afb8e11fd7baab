"""The converter: what a model's input takes, and every sentence about what it does not."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from quant.calibration import BadSample, InputSpec
from quant.calibration.sources.input_converter import InputConverter, image_converter
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess

Spec = Callable[..., InputSpec]
FIT = {"size": (224, 224)}


@pytest.mark.parametrize(
    ("shape", "fields", "sentence"),
    [
        (
            (1, 3, 240, 320),
            {"size": (240, 320)},
            "d: preprocessing makes 3x320x240, and input 'x' takes 3x240x320. Give --size 320x240.",
        ),
        (
            (None, 3, None, 320),
            {"size": (240, 320)},
            (
                "d: preprocessing makes 3x320x240, and input 'x' takes 3x?x320. "
                "Give --size 320xHEIGHT."
            ),
        ),
        (
            (None, 1, 224, 224),
            FIT,
            (
                "d: preprocessing makes 3x224x224, and input 'x' takes 1x224x224. "
                "Give --channels GRAY, or the tensors as a .npy file."
            ),
        ),
        (
            (None, 224, 224, 3),
            FIT,
            "d: preprocessing makes 3x224x224, and input 'x' takes 224x224x3. Give --layout NHWC.",
        ),
        (
            (None, 3, 224, 200),
            FIT | {"layout": "NHWC"},
            (
                "d: preprocessing makes 224x224x3, and input 'x' takes 3x224x200. "
                "Give --channels RGB, or the tensors as a .npy file."
            ),
        ),
        (
            (None, 3, 224, 224),
            FIT | {"layout": "NHWC"},
            "d: preprocessing makes 224x224x3, and input 'x' takes 3x224x224. Give --layout NCHW.",
        ),
        (
            (None, 10),
            FIT,
            (
                "d: images make 4 axes, and input 'x' has 2: ?x10. "
                "Give the model's own input as a .npy file."
            ),
        ),
    ],
)
def test_preprocessing_that_does_not_fit_names_the_flag(
    spec: Spec, shape: tuple[int | None, ...], fields: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        image_converter([spec(shape)], Preprocess(**fields), "d")  # type: ignore[arg-type]

    assert str(caught.value) == sentence


def test_several_inputs_and_integers_say_what_would_work(spec: Spec) -> None:
    with pytest.raises(InputError) as several:
        image_converter([spec(name="a"), spec(name="b")], Preprocess(), "d")
    with pytest.raises(InputError) as integers:
        image_converter([spec(dtype="uint8")], Preprocess(mean=(127,)), "d")

    assert str(several.value) == (
        "d: images can feed a model with one input, saw 2: 'a', 'b'. "
        "Give a .npz file with an array of each of these names."
    )
    assert str(integers.value) == (
        "d: input 'x' takes uint8, which cannot hold what --mean and --std make. Remove both."
    )


def test_an_image_comes_in_the_inputs_own_numbers(spec: Spec) -> None:
    image = Image.new("RGB", (2, 2), (1, 2, 255))

    for dtype in ("float32", "float16", "float64", "uint8"):
        made = image_converter([spec(dtype=dtype)], Preprocess(), "d").image(image, "k")
        assert made.dtype == np.dtype(dtype)
        assert made[:, 1, 1].tolist() == [1, 2, 255]


def test_an_image_of_another_size_is_refused_by_name(spec: Spec) -> None:
    converter = image_converter([spec((None, 3, 4, 4))], Preprocess(), "d")
    with pytest.raises(InputError) as caught:
        converter.image(Image.new("RGB", (5, 4)), "a\n.png")
    with pytest.raises(BadSample, match=r"^the image has no pixels$"):
        converter.image(Image.new("RGB", (0, 4)), "a.png")

    assert str(caught.value) == (
        "a\\n.png: preprocessing makes 3x4x5, and input 'x' takes 3x4x4. Give --size 4x4."
    )


def test_uint8_images_are_preprocessed_and_floats_are_verbatim(spec: Spec) -> None:
    converter = InputConverter(spec(), Preprocess(mean=(10,)))
    hwc = np.full((2, 2, 3), 15, np.uint8)

    assert set(converter.array(hwc, "k").ravel().tolist()) == {5.0}
    assert converter.array(hwc[:, :, 0].copy(), "k").shape == (3, 2, 2)
    assert converter.array(hwc[:, :, :1].copy(), "k").shape == (3, 2, 2)
    clear = np.dstack([hwc, np.zeros((2, 2), np.uint8)])
    assert set(converter.array(clear, "k").ravel().tolist()) == {-10.0}
    chw = np.random.default_rng(0).normal(size=(3, 2, 2))
    np.testing.assert_array_equal(converter.array(chw, "k"), chw.astype(np.float32))
    raw = InputConverter(spec((None, 3, 2, 2), dtype="uint8"), Preprocess())
    assert raw.array(np.zeros((3, 2, 2), np.uint8), "k").dtype == np.uint8


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            np.zeros((3, 4, 5), np.uint8),
            (
                "k: uint8 images are HxW or HxWxC, saw 3x4x5. "
                "Move the channels last, or save the model's own input as float32."
            ),
        ),
        (
            np.zeros((3, 4, 4), np.complex64),
            "k: input 'x' takes float32, saw complex64. Save the array as float32.",
        ),
        (
            np.array(["a"]),
            "k: input 'x' takes float32, saw <U1. Save the array as float32.",
        ),
        (
            np.zeros((4, 4, 3), np.float32),
            (
                "k: input 'x' takes 3x4x4 without the batch axis, saw 4x4x3. Move the channels "
                "first, or give uint8 images, which are preprocessed."
            ),
        ),
        (
            np.float32(3),
            (
                "k: input 'x' takes 3x4x4 without the batch axis, saw a single number. "
                "Save rows of that shape."
            ),
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(spec: Spec, row: np.ndarray, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        InputConverter(spec((None, 3, 4, 4)), Preprocess()).array(np.asarray(row), "k")

    assert str(caught.value) == sentence

"""Preprocess: every pixel where Pillow or a calculation by hand puts it, every error in words."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_the_equation_is_exact_for_every_pixel_value_and_channel() -> None:
    """Held against float64 by hand, rounded once."""
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(np.stack([ramp, ramp[::-1], ramp.T], axis=2))
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    made = Preprocess(mean=mean, std=std).apply(image)

    wanted = (np.asarray(image).astype(np.float64) - mean) / std
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, wanted.transpose(2, 0, 1).astype(np.float32))


def test_channel_order_and_layout_move_values_and_mean_follows_the_tensor() -> None:
    image = Image.new("RGB", (2, 1), (10, 20, 30))

    bgr = Preprocess(channels="BGR", mean=(1, 2, 3)).apply(image)
    assert bgr[:, 0, 0].tolist() == [29, 18, 7]
    nhwc = Preprocess(layout="NHWC").apply(image)
    assert nhwc.shape == (1, 2, 3)
    assert nhwc.flags.c_contiguous
    assert nhwc[0, 1].tolist() == [10, 20, 30]
    gray = Preprocess(channels="GRAY").apply(image)
    assert gray.shape == (1, 1, 2)
    assert gray[0, 0, 0] == (10 * 19595 + 20 * 38470 + 30 * 7471 + 0x8000) >> 16


def test_grey_feeds_three_equal_channels() -> None:
    made = Preprocess().apply(Image.new("L", (1, 1), 77))

    assert made.reshape(-1).tolist() == [77, 77, 77]


@pytest.mark.parametrize(
    ("image_size", "resized", "left", "top"),
    [
        ((640, 480), (341, 256), 58, 16),
        ((300, 500), (256, 426), 16, 101),
        ((256, 256), None, 16, 16),
    ],
)
def test_shorter_side_256_and_the_middle_224(
    image_size: tuple[int, int], resized: tuple[int, int] | None, left: int, top: int
) -> None:
    """The ImageNet recipe, against Pillow called by hand; offsets round half to even."""
    image = picture(*image_size)
    wanted = image.resize(resized, Image.Resampling.BILINEAR) if resized else image
    wanted = wanted.crop((left, top, left + 224, top + 224))
    made = Preprocess(size=(224, 224)).apply(image)

    np.testing.assert_array_equal(made, np.asarray(wanted).transpose(2, 0, 1))


def test_an_oblong_size_is_covered_and_cut() -> None:
    """112 x 56 asks for a box of 128 x 64; a portrait image is scaled until it covers that."""
    image = picture(100, 200)
    wanted = image.resize((128, 256), Image.Resampling.BICUBIC).crop((8, 100, 120, 156))
    made = Preprocess(size=(112, 56), interpolation="bicubic").apply(image)

    np.testing.assert_array_equal(made, np.asarray(wanted).transpose(2, 0, 1))


def test_short_side_is_overridden_and_no_crop_leaves_the_longer_side() -> None:
    image = picture(64, 48)

    assert Preprocess(size=(32, 32), short_side=32).resized_side == 32
    whole = Preprocess(size=(24, 24), crop="none").apply(image)
    assert whole.shape == (3, 24, 32)
    assert Preprocess(size=(24, 24), crop="none").tensor_shape == (3, None, None)
    assert Preprocess(size=(32, 24), layout="NHWC").tensor_shape == (24, 32, 3)
    assert Preprocess().tensor_shape == (3, None, None)


def test_stretch_ignores_the_aspect_and_can_be_cropped_too() -> None:
    image = picture(50, 20)
    wanted = np.asarray(image.resize((8, 8), Image.Resampling.NEAREST)).transpose(2, 0, 1)
    plain = Preprocess(size=(8, 8), resize="stretch", interpolation="nearest")

    np.testing.assert_array_equal(plain.apply(image), wanted)
    cut = Preprocess(size=(4, 4), resize="stretch", short_side=8, interpolation="nearest")
    np.testing.assert_array_equal(cut.apply(image), wanted[:, 2:6, 2:6])


def test_letterbox_keeps_everything_and_pads_before_the_mean() -> None:
    image = Image.new("RGB", (4, 2), (200, 200, 200))
    made = Preprocess(size=(8, 7), resize="letterbox", pad=100, mean=(100,), std=(50,)).apply(image)

    assert made.shape == (3, 7, 8)
    assert made[0, :, 0].tolist() == [0, 2, 2, 2, 2, 0, 0]
    gray = Preprocess(size=(8, 7), resize="letterbox", pad=9, channels="GRAY").apply(image)
    assert gray[0, :, 3].tolist() == [9, 200, 200, 200, 200, 9, 9]
    tight = Preprocess(size=(4, 2), resize="letterbox").apply(image)
    assert set(tight.ravel().tolist()) == {200.0}


def test_a_strip_that_would_fill_the_memory_is_refused_and_so_is_nothing() -> None:
    with pytest.raises(
        ValueError, match=r"^too long for its width: 1x9999 would grow to 256x2559744$"
    ):
        Preprocess(size=(224, 224)).apply(Image.new("RGB", (1, 9999)))
    with pytest.raises(ValueError, match=r"^the image has no pixels$"):
        Preprocess().apply(Image.new("RGB", (0, 3)))


value = st.floats(-1e6, 1e6)


@given(
    mean=st.lists(value, min_size=3, max_size=3) | st.lists(value, min_size=1, max_size=1),
    std=st.floats(1e-6, 1e6),
    size=st.none() | st.tuples(st.integers(1, 4096), st.integers(1, 4096)),
    resize=st.sampled_from(["shorter", "stretch", "letterbox"]),
)
def test_toml_round_trip_is_exact(
    tmp_path_factory: pytest.TempPathFactory,
    mean: list[float],
    std: float,
    size: tuple[int, int] | None,
    resize: str,
) -> None:
    one = Preprocess(mean=tuple(mean), std=(std,), size=size, resize=resize)
    path = tmp_path_factory.mktemp("toml") / "p.toml"
    path.write_text(one.to_toml(), encoding="utf-8")

    assert Preprocess.from_toml(path) == one
    assert Preprocess.from_toml(path).fingerprint == one.fingerprint


def test_toml_reads_as_a_person_writes(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('size = "320x240"\nmean = 127\nstd = [128, 128, 128]\n')
    wanted = Preprocess(size=(320, 240), mean=(127.0,), std=(128.0, 128.0, 128.0))

    assert Preprocess.from_toml(path) == wanted
    path.write_text("size = [320, 240]\nmean = 127.0\nstd = [128, 128, 128]\n")
    assert Preprocess.from_toml(path) == wanted


def test_fingerprint_is_one_for_two_spellings_and_differs_for_two_things() -> None:
    one = Preprocess(size=(224, 224), mean=(127,))
    same = Preprocess(size=(224, 224), mean=(127, 127, 127), short_side=256)

    assert one.fingerprint == same.fingerprint
    assert len(one.fingerprint) == 64
    assert one.fingerprint != Preprocess(size=(224, 224), mean=(127,), channels="BGR").fingerprint
    assert one.describe()["short_side"] == 256
    assert one.describe()["mean"] == [127.0] * 3


def test_flags_are_width_by_height_and_override_a_file() -> None:
    base = Preprocess(mean=(1,), channels="BGR")
    made = Preprocess.from_flags(
        base, size="320x240", mean=None, std="2, 4,8", short_side="250", pad="0", crop="none"
    )

    assert made == Preprocess(
        size=(320, 240),
        mean=(1,),
        std=(2, 4, 8),
        short_side=250,
        pad=0,
        crop="none",
        channels="BGR",
    )
    assert Preprocess.from_flags() == Preprocess()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            {"size": "224"},
            (
                "--size: a size is two whole numbers joined by x, saw '224'. "
                "Write WIDTHxHEIGHT, for example 224x224."
            ),
        ),
        (
            {"size": "40000x1"},
            (
                "--size: a size is two whole numbers from 1 to 32768, saw '40000,1'. "
                "Write the width, then the height."
            ),
        ),
        (
            {"mean": "127;127"},
            (
                "--mean: the values are numbers separated by commas, saw '127;127'. "
                "Write one number, or one for each channel, for example 127,127,127."
            ),
        ),
        (
            {"mean": "1,2"},
            (
                "--mean: channels RGB need 1 or 3 finite numbers, saw '1,2'. "
                "Write one value, or one for each channel."
            ),
        ),
        (
            {"std": "1,2,3", "channels": "GRAY"},
            (
                "--std: channels GRAY need 1 finite number, saw '1,2,3'. "
                "Write one value, or one for each channel."
            ),
        ),
        (
            {"std": "nan"},
            (
                "--std: channels RGB need 1 or 3 finite numbers, saw 'nan'. "
                "Write one value, or one for each channel."
            ),
        ),
        (
            {"std": "58,0,57"},
            (
                "--std: every value must be greater than 0, saw '58,0,57'. "
                "Write 1 to leave a channel unscaled."
            ),
        ),
        (
            {"short_side": "-3"},
            "--short-side: a whole number is needed, saw '-3'. Write digits only.",
        ),
        (
            {"short_side": 200, "size": "224x300"},
            (
                "--short-side: it is a whole number from the shorter side of size, 224, to 32768, "
                "saw '200'. Raise it, or shrink the size."
            ),
        ),
        (
            {"short_side": "256"},
            "--short-side: '256' needs a size to crop to. Give the size too, or neither.",
        ),
        (
            {"short_side": "256", "size": "224x224", "resize": "letterbox"},
            "--short-side: a letterbox is not cropped. Remove it, or choose another resize.",
        ),
        (
            {"pad": "256"},
            (
                "--pad: a pixel is a whole number from 0 to 255, saw '256'. "
                "Write it before mean and std are applied."
            ),
        ),
        (
            {"resize": "shrink"},
            "--resize: 'shrink' is not known. Choose one of letterbox, shorter, stretch.",
        ),
    ],
)
def test_every_flag_says_what_is_wrong_with_it(flags: dict[str, str], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        Preprocess.from_flags(**flags)

    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "meen = 1",
            (
                "no key is named 'meen'. Did you mean 'mean'? Known: channels, crop, interpolation, "
                "layout, mean, pad, resize, short_side, size, std."
            ),
        ),
        ("mean = ", "is not TOML: Invalid value (at end of document). Mend that place."),
        (
            "size = 224",
            (
                "size: a size is two whole numbers from 1 to 32768, saw '224'. "
                "Write the width, then the height."
            ),
        ),
        (
            "mean = ['a']",
            (
                "mean: channels RGB need 1 or 3 finite numbers, saw 'a'. "
                "Write one value, or one for each channel."
            ),
        ),
        (
            "size = 'big'",
            (
                "size: a size is two whole numbers joined by x, saw 'big'. "
                "Write WIDTHxHEIGHT, for example 224x224."
            ),
        ),
    ],
)
def test_a_file_says_where_it_is_wrong(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        Preprocess.from_toml(path)

    assert str(caught.value) == f"{path}: {sentence}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        Preprocess.from_toml(tmp_path / "no.toml")

    assert str(caught.value) == (
        f"{tmp_path / 'no.toml'}: cannot be read: there is no such file. Mend the path."
    )


def test_a_noun_made_in_code_names_its_field() -> None:
    with pytest.raises(InputError) as caught:
        Preprocess(layout="CHW")

    assert str(caught.value) == "Preprocess.layout: 'CHW' is not known. Choose one of NCHW, NHWC."


def test_units_of_0_to_1_are_warned_about_and_usual_ones_are_not() -> None:
    slip = Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

    assert slip.warnings() == [
        (
            "Preprocess: mean '0.485,0.456,0.406' and std '0.229,0.224,0.225' look like 0..1 units, "
            "but pixels are 0..255. Multiply by 255: --mean 123.675,116.28,103.53 "
            "--std 58.395,57.12,57.375."
        )
    ]
    assert len(Preprocess(mean=(0.5,)).warnings()) == 1
    for mean, std in (((0,), (1,)), ((127,), (128,)), ((104, 117, 123), (1,)), ((0,), (255,))):
        assert Preprocess(mean=mean, std=std).warnings() == []


def test_an_image_that_has_the_size_already_is_left_alone() -> None:
    """Blowing it up by 256/224 and cropping it would cost accuracy for nothing."""
    image = Image.fromarray(np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3))
    plain = Preprocess(size=(12, 12)).apply(image)
    asked = Preprocess(size=(12, 12), short_side=14).apply(image)

    assert np.array_equal(plain, np.asarray(image, np.float32).transpose(2, 0, 1))
    assert not np.array_equal(plain, asked)

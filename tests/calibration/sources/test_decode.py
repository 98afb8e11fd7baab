"""Decoding: every kind of image becomes RGB or grey, every broken one a short reason."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quant.calibration.sources.data import BadSample
from quant.calibration.sources.decode import eight_bit, extensions, open_image


def reason(path: Path) -> str:
    with pytest.raises(BadSample) as caught:
        open_image(path)
    return caught.value.reason


def test_plain_rgb_and_grey_are_left_alone(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[..., 0].copy()).save(tmp_path / "b.png")

    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.png")), pixels)
    grey = open_image(tmp_path / "b.png")
    assert grey.mode == "L"
    np.testing.assert_array_equal(np.asarray(grey), pixels[..., 0])


@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, (0, 0)), (3, (3, 1)), (6, (1, 0)), (8, (0, 3))]
)
def test_exif_rotation_is_honoured(
    tmp_path: Path, orientation: int, corner: tuple[int, int]
) -> None:
    """A 4x2 picture with one white pixel at its upper left, turned as a camera would ask."""
    image = Image.new("RGB", (4, 2))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    made = open_image(tmp_path / "a.png")

    assert made.size == ((2, 4) if orientation in (6, 8) else (4, 2))
    assert made.getpixel(corner) == (255, 255, 255)


def test_16_bits_keep_the_upper_8(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 65535, 0x1234]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "b.tif")

    for name in ("a.png", "b.tif"):
        assert np.asarray(open_image(tmp_path / name)).tolist() == [[0, 0, 1, 255, 0x12]]


def test_pixels_without_a_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[70000]], np.int32)).save(tmp_path / "a.tif")
    Image.fromarray(np.array([[0.5]], np.float32)).save(tmp_path / "b.tif")

    assert reason(tmp_path / "a.tif") == "32-bit pixels, whose range is unknown"
    assert reason(tmp_path / "b.tif") == "floating-point pixels, whose range is unknown"


def test_transparency_becomes_black_and_half_of_it_half_as_bright(tmp_path: Path) -> None:
    """RGBA, a palette with a transparent entry, and RGB and grey with a transparent colour."""
    rgba = Image.new("RGBA", (3, 1), (200, 100, 50, 255))
    rgba.putpixel((1, 0), (200, 100, 50, 0))
    rgba.putpixel((2, 0), (200, 100, 50, 128))
    rgba.save(tmp_path / "a.png")
    made = np.asarray(open_image(tmp_path / "a.png"))[0]
    assert made[0].tolist() == [200, 100, 50]
    assert made[1].tolist() == [0, 0, 0]
    assert np.abs(made[2] - np.array([200, 100, 50]) * 128 / 255).max() <= 1

    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "b.png", transparency=0)
    assert np.asarray(open_image(tmp_path / "b.png"))[0].tolist() == [[0, 0, 0], [40, 50, 60]]
    palette.save(tmp_path / "c.png")
    assert np.asarray(open_image(tmp_path / "c.png"))[0].tolist() == [[10, 20, 30], [40, 50, 60]]

    rgb = Image.new("RGB", (1, 1), (9, 8, 7))
    rgb.save(tmp_path / "d.png", transparency=(9, 8, 7))
    assert open_image(tmp_path / "d.png").getpixel((0, 0)) == (0, 0, 0)


def test_black_and_white_and_cmyk_are_converted(tmp_path: Path) -> None:
    Image.new("1", (2, 2), 1).save(tmp_path / "a.png")
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "b.tif")

    assert open_image(tmp_path / "a.png").getpixel((0, 0)) == 255
    assert open_image(tmp_path / "b.tif").getpixel((0, 0)) == (255, 0, 0)


def test_a_mode_without_conversion_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("conversion not supported")

    image = Image.new("LAB", (1, 1))
    monkeypatch.setattr(image, "convert", refuse)
    with pytest.raises(BadSample, match=r"^mode LAB cannot be converted to RGB$"):
        eight_bit(image)


def test_the_first_frame_of_an_animation_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (2, 2), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])

    assert open_image(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    """Headers alone: 20000 x 20000 trips Pillow's error, 10000 x 10000 only its warning."""
    for side in (20000, 10000):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        chunk = b"IHDR" + header
        made = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
        (tmp_path / "a.png").write_bytes(
            b"\x89PNG\r\n\x1a\n" + made + struct.pack(">I", 9) + b"IDAT"
        )

        assert reason(tmp_path / "a.png") == "more than 89478485 pixels"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_that_only_warns_is_refused_where_warnings_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quant.calibration.sources.decode.MAX_PIXELS", 3)
    Image.new("L", (2, 2)).save(tmp_path / "a.png")

    assert reason(tmp_path / "a.png") == "more than 3 pixels"


def test_broken_files_say_why(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(stream, "JPEG")
    whole = stream.getvalue()
    for name, content in {
        "cut.jpg": whole[: len(whole) // 2],
        "head.jpg": whole[:20],
        "text.jpg": b"this is no image",
        "empty.jpg": b"",
        "script.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    }.items():
        (tmp_path / name).write_bytes(content)

    assert reason(tmp_path / "cut.jpg") == "truncated"
    assert reason(tmp_path / "head.jpg") in ("truncated", "not an image that Pillow reads")
    assert reason(tmp_path / "text.jpg") == "not an image that Pillow reads"
    assert reason(tmp_path / "empty.jpg") == "empty file"
    assert reason(tmp_path / "script.jpg") == "not an image that Pillow reads"
    assert reason(tmp_path / "none.jpg") == "no such file"
    assert reason(tmp_path) == "not a file"


def test_whatever_a_decoder_raises_becomes_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "a.png")

    def explode(*_: object, **__: object) -> None:
        raise IndexError("first line\nsecond line")

    monkeypatch.setattr("PIL.ImageOps.exif_transpose", explode)
    assert reason(tmp_path / "a.png") == "broken image (IndexError: first line)"


def test_extensions_are_what_is_decoded_here_and_nothing_else() -> None:
    assert {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".gif", ".ppm"} <= extensions()
    assert not {".eps", ".pdf", ".h5", ".mpg", ".wmf", ".npy", ".txt", ".csv"} & extensions()

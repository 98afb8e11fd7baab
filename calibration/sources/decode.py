"""Decode an image file of any kind to 8-bit RGB or grey, or raise with the reason."""

__all__ = ["MAX_PIXELS", "eight_bit", "extensions", "open_image"]

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from quant.calibration.sources.data import BadSample

MAX_PIXELS = 89_478_485
"""Pixels above which an image is refused as a decompression bomb: Pillow's own limit."""

NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
"""Formats that Pillow only identifies, or hands to another program (EPS to Ghostscript)."""


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in Image.ID if name not in NOT_DECODED)


@cache
def extensions() -> frozenset[str]:
    """Return the suffixes that Pillow decodes itself: lower case, with the dot."""
    formats = _formats()
    return frozenset(s for s, name in Image.registered_extensions().items() if name in formats)


def open_image(path: Path) -> Image.Image:
    """Return the first frame of an image file as mode "RGB" or "L", turned as its EXIF says.

    Raises:
        BadSample: The file is missing, empty, truncated, no image, over MAX_PIXELS, or of pixels
            without an agreed range (floating point, 32-bit integers).
    """
    if not path.is_file():
        raise BadSample("not a file" if path.exists() else "no such file")
    try:
        with Image.open(path, formats=_formats()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            image.load()
            return eight_bit(ImageOps.exif_transpose(image))
    except BadSample:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadSample(f"more than {MAX_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        reason = "not an image that Pillow reads" if path.stat().st_size else "empty file"
        raise BadSample(reason) from error
    except Exception as error:  # Pillow's decoders raise every kind for a file that is broken
        text = str(error).lower()
        if "truncated" in text or "end of" in text or isinstance(error, EOFError):
            raise BadSample("truncated") from error
        raise BadSample(f"broken image ({type(error).__name__}: {_short(error)})") from error


def eight_bit(image: Image.Image) -> Image.Image:
    """Return an image of any mode as 8-bit "RGB", or "L" if it is grey.

    16 bits are cut to the upper 8 (``value >> 8``). Transparent parts become black, as on a screen
    without background: the colour hidden under them never reaches the model.

    Raises:
        BadSample: The pixels have no agreed range, or Pillow cannot convert them.
    """
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _upper_byte(image)
    if image.mode == "F":
        raise BadSample("floating-point pixels, whose range is unknown")
    try:
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", rgba.size, "black"), rgba).convert("RGB")
        return image.convert("RGB")
    except ValueError as error:
        raise BadSample(f"mode {image.mode} cannot be converted to RGB") from error


def _upper_byte(image: Image.Image) -> Image.Image:
    """Return 16-bit grey as 8-bit; Pillow holds some of it in 32 bits."""
    pixels = np.asarray(image)
    if pixels.size and not 0 <= int(pixels.min()) <= int(pixels.max()) <= 0xFFFF:
        raise BadSample("32-bit pixels, whose range is unknown")
    return Image.fromarray((pixels >> 8).astype(np.uint8))


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:80]

"""Which values a Preprocess may hold, and which of them look like a slip."""

__all__ = ["CHOICES", "broken_rule", "floats", "unit_warnings"]

import math
from collections.abc import Mapping
from typing import Any

CHOICES = {
    "resize": ("shorter", "stretch", "letterbox"),
    "crop": ("center", "none"),
    "channels": ("RGB", "BGR", "GRAY"),
    "layout": ("NCHW", "NHWC"),
    "interpolation": ("bilinear", "bicubic", "nearest"),
}
"""The words that a field may hold, the default first."""

LONGEST = 32768


def broken_rule(values: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the first field that breaks a rule, and the sentence about it; None if all is well."""
    for name, words in CHOICES.items():
        if values[name] not in words:
            choices = ", ".join(sorted(words))
            return name, f"'{values[name]}' is not known. Choose one of {choices}."
    size = values["size"]
    if size is not None and not _is_size(size):
        return "size", (
            f"a size is two whole numbers from 1 to {LONGEST}, saw '{_join(size)}'. "
            f"Write the width, then the height."
        )
    count = 1 if values["channels"] == "GRAY" else 3
    for name in ("mean", "std"):
        numbers = values[name]
        if len(numbers) not in (1, count) or not all(_finite(x) for x in numbers):
            count_text = "1 finite number" if count == 1 else f"1 or {count} finite numbers"
            return name, (
                f"channels {values['channels']} need {count_text}, saw '{_join(numbers)}'. "
                f"Write one value, or one for each channel."
            )
    if min(values["std"]) <= 0:
        return "std", (
            f"every value must be greater than 0, saw '{_join(values['std'])}'. "
            f"Write 1 to leave a channel unscaled."
        )
    if not _whole(values["pad"], 0, 255):
        return "pad", (
            f"a pixel is a whole number from 0 to 255, saw '{values['pad']}'. "
            f"Write it before mean and std are applied."
        )
    return _broken_short_side(values["short_side"], size, values["resize"])


def _broken_short_side(short: object, size: Any, resize: str) -> tuple[str, str] | None:
    if short is None:
        return None
    if size is None:
        return "short_side", f"'{short}' needs a size to crop to. Give the size too, or neither."
    if resize == "letterbox":
        return "short_side", "a letterbox is not cropped. Remove it, or choose another resize."
    if not _whole(short, min(size), LONGEST):
        return "short_side", (
            f"it is a whole number from the shorter side of size, {min(size)}, to {LONGEST}, "
            f"saw '{short}'. Raise it, or shrink the size."
        )
    return None


def floats(values: Any) -> Any:
    """Return one number, or several, as a tuple of floats; what is no number stays, to be refused."""
    values = values if isinstance(values, list | tuple) else (values,)
    return tuple(float(x) if isinstance(x, int) and not isinstance(x, bool) else x for x in values)


def unit_warnings(mean: tuple[float, ...], std: tuple[float, ...]) -> list[str]:
    """Return a warning if `mean` and `std` look as if pixels were in 0..1; else nothing.

    A mean other than 0 of at most 1, or a std below 1, moves no pixel by a visible amount or
    stretches 0..255 even further.
    """
    if not any(0 < abs(m) <= 1 for m in mean) and not any(s < 1 for s in std):
        return []
    mended = " ".join(f"--{k} {_join(_times_255(v))}" for k, v in (("mean", mean), ("std", std)))
    sentence = (
        f"Preprocess: mean '{_join(mean)}' and std '{_join(std)}' look like 0..1 units, "
        f"but pixels are 0..255. Multiply by 255: {mended}."
    )
    return [sentence]


def _times_255(values: tuple[float, ...]) -> list[float]:
    return [float(f"{255 * x:.10g}") for x in values]


def _is_size(size: object) -> bool:
    return isinstance(size, tuple) and len(size) == 2 and all(_whole(n, 1, LONGEST) for n in size)


def _join(values: Any) -> str:
    values = values if isinstance(values, tuple | list) else (values,)
    return ",".join(f"{x:g}" if isinstance(x, float) else str(x) for x in values)


def _finite(x: object) -> bool:
    return isinstance(x, float) and math.isfinite(x)


def _whole(x: object, low: int, high: int) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and low <= x <= high

"""Text of flags and TOML files as values: each error is one sentence that names its place."""

__all__ = ["flag_values", "numbers", "read_toml", "share", "whole", "width_by_height"]

import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from pathlib import Path

from quant.common.errors import InputError, reason_of


def width_by_height(text: str, place: str) -> tuple[int, int]:
    """Return "WIDTHxHEIGHT" as (width, height), both from 1 to 99999.

    Raises:
        InputError: The text is no such size.

    >>> width_by_height("320x240", "--size")
    (320, 240)
    """
    match = re.fullmatch("([1-9][0-9]{0,4})[xX]([1-9][0-9]{0,4})", text.strip())
    if match is None:
        raise InputError(
            f"{place}: a size is two whole numbers joined by x, saw '{text}'. "
            f"Write WIDTHxHEIGHT, for example 224x224."
        )
    return int(match[1]), int(match[2])


def numbers(text: str, place: str) -> tuple[float, ...]:
    """Return numbers separated by commas.

    Raises:
        InputError: One of them is no number.

    >>> numbers("123.675, 116.28,103.53", "--mean")
    (123.675, 116.28, 103.53)
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{place}: the values are numbers separated by commas, saw '{text}'. "
            f"Write one number, or one for each channel, for example 127,127,127."
        ) from None


def share(text: str, place: str) -> float:
    """Return "1%" and "0.01" as 0.01.

    A bare number of 1 or more is refused: 1 might be 1 % or all.

    Raises:
        InputError: It is neither a percentage from 0% to 100% nor a number from 0 to below 1.

    >>> share("1%", "--max-drop"), share("0.01", "--max-drop"), share("100%", "--min-agreement")
    (0.01, 0.01, 1.0)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)(e-?\d+)?\s*(%?)\s*", text)
    if match is not None:
        value = float(match[1] + (match[2] or ""))
        if match[3] and value <= 100:
            return value / 100
        if not match[3] and value < 1:
            return value
        if not match[3] and value == 1:
            raise InputError(
                f"{place}: a share is written 1% or 0.01, saw '{text}', which may be 1 % or all. "
                "Write 1% or 100%."
            )
        if not match[3] and value <= 100:
            raise InputError(
                f"{place}: a share is written 1% or 0.01, saw '{text}'. Write {value:g}%."
            )
    raise InputError(
        f"{place}: a share is written 1% or 0.01, from 0% to 100%, saw '{text}'. Write for example "
        "0.5% for half a percent."
    )


def whole(text: str, place: str) -> int:
    """Return a whole number from 0 up; raises InputError for another text."""
    if not re.fullmatch("[0-9]{1,9}", text.strip()):
        raise InputError(f"{place}: a whole number is needed, saw '{text}'. Write digits only.")
    return int(text)


PARSERS: dict[str, Callable[[str, str], object]] = {
    "size": width_by_height,
    "mean": numbers,
    "std": numbers,
    "short_side": whole,
    "pad": whole,
}
"""How the text of a field is read; the other fields are words."""


def flag_values(flags: Mapping[str, str | int | None]) -> dict[str, object]:
    """Return the values of the flags that are not None, by field name; `short_side`: --short-side.

    Raises:
        InputError: A text cannot be read.
    """
    return {
        name: PARSERS[name](text, f"--{name.replace('_', '-')}")
        if name in PARSERS and isinstance(text, str)
        else text
        for name, text in flags.items()
        if text is not None
    }


def read_toml(path: Path, keys: Collection[str]) -> dict[str, object]:
    """Return the keys of a flat TOML file.

    Raises:
        InputError: The file cannot be read or is not TOML, or has a key outside `keys`.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason_of(error)}. Mend the path.") from error
    except ValueError as error:
        raise InputError(f"{path}: is not TOML: {error}. Mend that place.") from error
    for key in table:
        if key not in keys:
            near = get_close_matches(key, keys, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(
                f"{path}: no key is named '{key}'.{hint} Known: {', '.join(sorted(keys))}."
            )
    return table

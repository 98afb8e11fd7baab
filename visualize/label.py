"""Names from models as text that is safe to print: escaped, shortened, and measured in cells."""

__all__ = ["cells", "escaped", "shortened"]

import unicodedata
from collections.abc import Container


def escaped(text: str, drawable: Container[int] | None = None) -> str:
    r"""Return `text` with a Python escape for every character that does not print.

    Such characters are line breaks, terminal codes and marks that change the writing direction.

    Args:
        text: Any name.
        drawable: Code points that can be drawn; None for all.

    >>> escaped("conv\n1")
    'conv\\n1'
    """
    prints = [c.isprintable() and (drawable is None or ord(c) in drawable) for c in text]
    pairs = zip(text, prints, strict=True)
    return "".join(c if ok else c.encode("unicode_escape").decode() for c, ok in pairs)


def shortened(text: str, most: int) -> str:
    """Return `text` in at most `most` cells (at least 3), with the middle replaced by "…".

    >>> shortened("/features/denseblock4/conv2/Conv", 16)
    '/featur…nv2/Conv'
    """
    if cells(text[: 2 * most]) <= most and len(text) <= 2 * most:
        return text
    tail = _fit(text[: -most - 1 : -1], most // 2)[::-1]
    return f"{_fit(text[:most], most - 1 - cells(tail))}…{tail}"


def cells(text: str) -> int:
    """Return the width of a text in terminal cells: wide characters two, combining marks none."""
    return sum(_cells(c) for c in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _fit(text: str, room: int) -> str:
    """Return the longest beginning of a text that fits into `room` cells."""
    beginning = ""
    for character in text:
        room -= _cells(character)
        if room < 0:
            break
        beginning += character
    return beginning

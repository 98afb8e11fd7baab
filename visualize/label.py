"""Labels: names out of strangers' models, made fit for one line on a page or a terminal."""

__all__ = ["cells", "escaped", "shortened"]

import unicodedata
from collections.abc import Container


def escaped(text: str, known: Container[int] | None = None) -> str:
    r"""Return `text` with every character that does not print as its Python escape.

    Line breaks, terminal codes, and marks that turn the direction of writing are such characters.

    Args:
        text: Any name.
        known: Code points that can be drawn; None for all.

    >>> escaped("conv\n1")
    'conv\\n1'
    """
    good = [c.isprintable() and (known is None or ord(c) in known) for c in text]
    pairs = zip(text, good, strict=True)
    return "".join(c if ok else c.encode("unicode_escape").decode() for c, ok in pairs)


def shortened(text: str, most: int) -> str:
    """Return `text` in at most `most` cells (at least 3), with its middle left out.

    >>> shortened("/features/denseblock4/conv2/Conv", 16)
    '/featur…nv2/Conv'
    """
    if cells(text[: 2 * most]) <= most and len(text) <= 2 * most:
        return text
    tail = _fit(text[: -most - 1 : -1], most // 2)[::-1]
    return f"{_fit(text[:most], most - 1 - cells(tail))}…{tail}"


def cells(text: str) -> int:
    """Return how many cells a text takes on a terminal: wide ones two, combining marks none."""
    return sum(_cells(c) for c in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _fit(text: str, room: int) -> str:
    """Return the longest beginning that fits."""
    kept = ""
    for character in text:
        room -= _cells(character)
        if room < 0:
            break
        kept += character
    return kept

"""CSV text that spreadsheets read and cannot mistake for formulas."""

__all__ = ["csv_lines", "is_formula"]

import csv
import io
from collections.abc import Iterable, Sequence


def csv_lines(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV: floats with 6 digits, a text that looks like a formula behind an apostrophe."""
    return "".join(_line([_cell(value) for value in row]) for row in rows)


def _line(cells: Sequence[str]) -> str:
    """Return one line; the csv module quotes the characters of its own line end, so it gets both."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue().removesuffix("\r\n") + "\n"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return f"'{text}" if is_formula(text) else text


FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Characters with which a formula begins in a spreadsheet."""


def is_formula(text: str) -> bool:
    """Return whether a text is taken for a formula, or looks like one that was made safe."""
    return text.lstrip("'").startswith(FORMULA)

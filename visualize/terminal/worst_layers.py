"""The worst layers as an aligned table for the terminal, each with its cause and remedy."""

__all__ = ["worst_layers"]

import math
from collections.abc import Mapping, Sequence

from quant.analysis.layer_error import LayerError
from quant.visualize.label import cells, escaped, shortened

WIDTH = 80
"""Columns of a line: those of a terminal that nobody has widened."""
LAYER, OP, NUMBER = 36, 14, 10
"""The most columns of a name and an operator, and the columns of a number in dB."""
GAP, INDENT = "  ", "    "
"""What stands between columns, and before a cause."""


def worst_layers(
    rows: Sequence[LayerError],
    causes: Mapping[str, str],
    most: int = 8,
    *,
    full: str | None = None,
) -> str:
    """Return a table of the layers with the lowest isolated SQNR, the worst first.

    No line is longer than 80 columns; the cause stands below its layer. Layers that were not measured
    (nan) or are lossless (inf) are left out; where no layer remains, a sentence says
    which of the two is the reason. The text does not end in a line break.

    Args:
        rows: The whole layer table.
        causes: The likely cause by layer name; "" where there is none.
        most: Greatest number of layers.
        full: Path of the whole table; None leaves the last line out.
    """
    measured = [r for r in rows if not math.isnan(r.isolated_sqnr_db)]
    lossy = [r for r in measured if r.isolated_sqnr_db < math.inf]
    lossy.sort(key=lambda r: (r.isolated_sqnr_db, r.layer))
    listed = lossy[:most]
    if listed:
        count = len(measured)
        lines = [f"The {len(listed)} worst of {count} quantized layers, by isolated SQNR", ""]
        lines += _body(listed, causes)
    elif rows and not measured:
        lines = ["No layer could be measured."]
    else:
        lines = ["No measured layer loses accuracy."]
    if full is not None:
        lines += ["", f"All layers: {escaped(full)}"]
    return "\n".join(lines)


def _body(rows: Sequence[LayerError], causes: Mapping[str, str]) -> list[str]:
    """Return the header and the lines of all rows."""
    names = [shortened(escaped(r.layer), LAYER) for r in rows]
    ops = [shortened(escaped(r.op), OP) for r in rows]
    layer = max(cells("layer"), *map(cells, names))
    op = max(cells("op"), *map(cells, ops))
    lines = [_line(["layer", "op", "isolated", "cumulative"], layer, op)]
    lines.append(_line(["", "", "dB", "dB"], layer, op))
    for name, kind, row in zip(names, ops, rows, strict=True):
        values = [_decibel(row.isolated_sqnr_db), _decibel(row.cumulative_sqnr_db)]
        lines.append(_line([name, kind, *values], layer, op))
        cause = escaped(causes.get(row.layer, ""))
        lines += [INDENT + line for line in _wrapped(cause, WIDTH - len(INDENT)) if line]
    return lines


def _line(parts: Sequence[str], layer: int, op: int) -> str:
    """Align a name, an operator and two numbers."""
    name, kind, first, second = parts
    left = name + " " * (layer - cells(name)), kind + " " * (op - cells(kind))
    return GAP.join([*left, first.rjust(NUMBER), second.rjust(NUMBER)]).rstrip()


def _wrapped(text: str, room: int) -> list[str]:
    """Break a text at its spaces into lines of at most `room` cells; a longer word is cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if cells(longer) <= room:
            lines[-1] = longer
        else:
            lines += [shortened(word, room)]
    return lines[1:] if len(lines) > 1 and not lines[0] else lines


def _decibel(value: float) -> str:
    """Return a number with one digit; "-" for one that was not measured."""
    return "-" if math.isnan(value) else f"{value:.1f}"

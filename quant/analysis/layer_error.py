"""One row of the layer table, and the table as CSV, written and read back."""

__all__ = ["COLUMNS", "LayerError", "layer_csv", "read_layers"]

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from quant.common.csv_text import csv_lines, is_formula
from quant.common.errors import InputError
from quant.formats.precision import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerError:
    """What quantization does at one layer.

    Attributes:
        layer: Node name.
        op: Operator type.
        precision: What the layer computes in.
        isolated_sqnr_db: Signal-to-quantization-noise ratio at the network's outputs when only this
            layer is quantized, in dB; the worst output. Higher is better; inf when nothing changes,
            nan when it was not measured (a float layer).
        cumulative_sqnr_db: The same at this layer's output when all are quantized.
        cosine: Cosine of float and simulated output of this layer, all quantized; 1 is best.
        weight_sqnr_db: SQNR of the weight alone, in dB; nan for a layer without one.
        saturation: Share of the layer's input elements beyond the range of their grid, 0 to 1; nan
            for a float layer.
        macs: Multiply-accumulates of one sample.
        because: The plan's reason.
    """

    layer: str
    op: str
    precision: Precision
    isolated_sqnr_db: float
    cumulative_sqnr_db: float
    cosine: float
    weight_sqnr_db: float
    saturation: float
    macs: int
    because: str

    def __post_init__(self) -> None:
        """Read a name such as "int8" as a precision, refusing what is none."""
        object.__setattr__(self, "precision", Precision(self.precision))


COLUMNS = tuple(LayerError.__dataclass_fields__)


def layer_csv(rows: Sequence[LayerError]) -> str:
    """Return `layers.csv`: a header and a row a layer; numbers with 6 digits, names as they are.

    A cell that a spreadsheet would run as a formula (it begins with = + - @) gets a leading
    apostrophe: node names come out of files that strangers made.
    """
    return csv_lines([COLUMNS, *([getattr(row, column) for column in COLUMNS] for row in rows)])


def read_layers(path: Path) -> tuple[LayerError, ...]:
    """Read what `layer_csv` returned, a leading apostrophe taken off again.

    Raises:
        InputError: The file is missing, or is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(_row(row) for row in csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        cause = f"{type(error).__name__}: {error}".rstrip(".")
        raise InputError(
            f"{path}: not a readable table of layers: {cause}. Run quant calibrate again."
        ) from error


def _row(row: dict[str, str]) -> LayerError:
    values: dict[str, Any] = {}
    for column in fields(LayerError):
        text = row[column.name]
        guarded = text[:1] == "'" and is_formula(text)
        kind: Any = column.type
        values[column.name] = kind(text[1:] if guarded else text)
    return LayerError(**values)

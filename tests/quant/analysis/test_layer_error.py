"""The layer table survives a CSV reader, and no spreadsheet runs a name that a stranger chose."""

import csv
import io
import math
from pathlib import Path

import pytest

from quant.analysis.layer_error import COLUMNS, LayerError, layer_csv, read_layers
from quant.common.errors import InputError


def row(layer: str, **numbers: float) -> LayerError:
    made: dict[str, float] = dict.fromkeys(
        ("isolated_sqnr_db", "cumulative_sqnr_db", "cosine", "weight_sqnr_db", "saturation"), 0.5
    )
    return LayerError(
        layer=layer, op="Conv", precision="int8", macs=10**12, because="a, b", **(made | numbers)
    )


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    "name",
    ["conv", 'a,"b"', "two\nlines", "a\rb", "a\r\nb", "ä層", " x ", "", "a;b", "a'b", "\x0b"],
)
def test_a_name_reads_back_as_it_is(name: str) -> None:
    rows = read(layer_csv([row(name), row("next")]))

    assert [r["layer"] for r in rows] == [name, "next"]
    assert rows[0]["because"] == "a, b"
    assert tuple(rows[0]) == COLUMNS


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@a", "\t=1", "\r=1", "\n=1"])
def test_a_name_that_begins_like_a_formula_gets_an_apostrophe(name: str) -> None:
    rows = read(layer_csv([row(name)]))

    assert rows[0]["layer"] == "'" + name


def test_numbers_have_six_digits_and_no_apostrophe() -> None:
    text = layer_csv(
        [row("a", isolated_sqnr_db=math.inf, cumulative_sqnr_db=-12.3456789, cosine=math.nan)]
    )
    one = read(text)[0]

    assert one["isolated_sqnr_db"] == "inf"
    assert one["cumulative_sqnr_db"] == "-12.3457"
    assert one["cosine"] == "nan"
    assert one["macs"] == "1000000000000"
    assert layer_csv([row("b", isolated_sqnr_db=-math.inf)]).count("-inf") == 1


def test_no_layers_give_the_header() -> None:
    assert layer_csv([]) == ",".join(COLUMNS) + "\n"


def test_the_table_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """Names that were made safe for a spreadsheet are themselves again."""
    rows = [
        LayerError(
            layer=name,
            op="Conv",
            precision="int8",
            isolated_sqnr_db=20.5,
            cumulative_sqnr_db=math.inf,
            cosine=0.5,
            weight_sqnr_db=math.inf,
            saturation=0.25,
            macs=7,
            because="a, b",
        )
        for name in ("=1+1", "'=1+1", "''@x", "'quoted'", "line\nbreak", 'comma, "quote"')
    ]
    path = tmp_path / "layers.csv"
    path.write_text(layer_csv(rows), encoding="utf-8", newline="\n")

    assert read_layers(path) == tuple(rows)


def test_a_broken_table_costs_one_sentence(tmp_path: Path) -> None:
    """It may have been edited by hand."""
    path = tmp_path / "layers.csv"
    with pytest.raises(InputError) as missing:
        read_layers(path)
    path.write_text("layer,op\na,b\n")
    with pytest.raises(InputError) as short:
        read_layers(path)

    assert str(missing.value).startswith(
        f"{path}: not a readable table of layers: FileNotFoundError: "
    )
    assert str(short.value) == (
        f"{path}: not a readable table of layers: KeyError: 'precision'. Run quant calibrate again."
    )

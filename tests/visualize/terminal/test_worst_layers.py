"""The terminal table: aligned, narrow, and safe to print."""

import math
from typing import Any

import pytest

from quant.analysis.layer_error import LayerError
from quant.visualize.label import cells
from quant.visualize.terminal.worst_layers import worst_layers


def row(layer: str, isolated: float, op: str = "Conv", cumulative: float = 30.0) -> LayerError:
    """Return a quantized layer."""
    rest: dict[str, Any] = {"cosine": 1.0, "weight_sqnr_db": 40.0, "saturation": 0.0, "macs": 1}
    return LayerError(
        layer=layer,
        op=op,
        precision="int8",
        isolated_sqnr_db=isolated,
        cumulative_sqnr_db=cumulative,
        because="",
        **rest,
    )


def test_the_table_reads_as_it_is_meant_to() -> None:
    """The whole of it, because alignment is what a table is."""
    rows = [row("stem", 41.25), row("head", 12.0, "Gemm", math.nan), row("free", math.nan)]

    said = worst_layers(rows, {"head": "rounding noise"}, full="out/layers.csv")

    assert said.split("\n") == [
        "The 2 worst of 2 quantized layers, by isolated SQNR",
        "",
        "layer  op      isolated  cumulative",
        "                     dB          dB",
        "head   Gemm        12.0           -",
        "    rounding noise",
        "stem   Conv        41.2        30.0",
        "",
        "All layers: out/layers.csv",
    ]


def test_only_the_worst_come_and_equal_ones_by_name() -> None:
    """Equal inputs must print equal tables."""
    rows = [row(name, 20.0) for name in "cab"] + [row("z", -math.inf), row("y", math.inf)]
    lines = worst_layers(rows, {}, most=3).split("\n")

    assert [line.split()[0] for line in lines[4:]] == ["z", "a", "b"]


def test_nothing_lost_is_said_in_a_sentence() -> None:
    """An empty table looks like a failure."""
    rows = [row("a", math.inf), row("b", math.nan)]

    assert worst_layers(rows, {}) == "No measured layer loses accuracy."
    assert worst_layers([], {}, full="x").endswith("All layers: x")


def test_nothing_measured_is_not_taken_for_nothing_lost() -> None:
    """Not knowing reads as good news if it is told in the same words."""
    rows = [row("a", math.nan), row("b", math.nan)]

    assert worst_layers(rows, {}) == "No layer could be measured."
    assert worst_layers(rows, {}, full="x").split("\n")[-1] == "All layers: x"


@pytest.mark.parametrize(
    "name", ["\x1b[2Jgone", "a\nb", "\u202etxt", "x" * 500, "漢" * 99, "\udcff", "e\u0301" * 40]
)
def test_no_line_is_wide_and_no_name_reaches_the_terminal_raw(name: str) -> None:
    """A model file may come from anywhere, and a terminal obeys control characters."""
    said = worst_layers(
        [row(name, 1.0, op=name)], {name: f"{name} stretches {name}"}, full=name[:9]
    )
    lines = said.split("\n")

    assert all(line.isprintable() for line in lines)
    assert all(cells(line) <= 80 for line in lines)


def test_a_long_cause_stands_whole_below_its_layer() -> None:
    """The remedy stands at the end of a cause: cutting it off would cut off the point."""
    cause = "word " * 40 + 'weights = "per-channel"'
    lines = worst_layers([row("conv", 1.0)], {"conv": cause}).split("\n")[5:]

    assert len(lines) > 2
    assert all(line.startswith("    ") for line in lines)
    assert " ".join(line.strip() for line in lines) == cause

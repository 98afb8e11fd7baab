"""The heatmap: a file that is whole, equal for equal tables, and calm about hostile names."""

import dataclasses
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from quant.analysis.layer_error import LayerError
from quant.visualize.figures.heatmap import heatmap
from quant.visualize.figures.heatmap_grid import Grid

HOSTILE = [
    "$x^{$",
    "two\nlines",
    "\x1b[31mred",
    "漢字\U0001f600",
    "\u202eabc",
    "\udc80",
    "",
    "n" * 9999,
]


def row(layer: str, **given: Any) -> LayerError:
    """Return a quantized Conv without anything special."""
    usual: dict[str, Any] = {
        "op": "Conv",
        "precision": "int8",
        "isolated_sqnr_db": 40.0,
        "cumulative_sqnr_db": 30.0,
        "cosine": 0.9995,
        "weight_sqnr_db": 42.0,
        "saturation": 0.0001,
        "macs": 1000,
        "because": "",
    }
    return LayerError(layer=layer, **(usual | given))


def table(count: int, seed: int = 0) -> list[LayerError]:
    """Return rows whose isolated SQNR falls with the layer's number, the worst last."""
    noise = np.random.default_rng(seed).normal(size=count)
    return [
        row(f"/block{i}/Conv", isolated_sqnr_db=90.0 - i / 9 + noise[i] / 99) for i in range(count)
    ]


def drawn(monkeypatch: pytest.MonkeyPatch, folder: Path, rows: Sequence[LayerError]) -> list[str]:
    """Return every text on the picture."""
    found: list[str] = []

    def look(self: Figure, where: Path, **_: object) -> None:
        found.clear()  # the PNG has the texts of the SVG
        found.extend(t.get_text() for t in self.texts)
        found.extend(t.get_text() for axes in self.axes for t in axes.texts)
        where.write_bytes(b"")

    monkeypatch.setattr(Figure, "savefig", look)
    heatmap({"onnxruntime": rows}, folder / "h.png", "")
    return found


def test_equal_tables_give_equal_bytes_and_nothing_else_is_left(tmp_path: Path) -> None:
    """A picture that changes without its numbers changing makes every diff of two runs noise."""
    tables = {"a": table(5), "b": table(5, seed=1)}
    heatmap(tables, tmp_path / "one.png", "title")
    with mpl.rc_context({"text.usetex": True, "font.size": 40, "savefig.bbox": "tight"}):
        heatmap(tables, tmp_path / "two.png", "title")

    names = ["one.png", "one.svg", "two.png", "two.svg"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    for kind in ("png", "svg"):
        first, second = (tmp_path / f"{name}.{kind}" for name in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert set(image.info) <= {"dpi"}


def test_hostile_names_are_drawn_as_text(tmp_path: Path) -> None:
    """Warnings are errors here: neither a missing glyph nor a dollar sign may make one."""
    rows = [row(name, op=name) for name in HOSTILE]
    for name in HOSTILE:
        heatmap({name: rows}, tmp_path / "h.png", name)

    assert (tmp_path / "h.png").stat().st_size > 1000


@pytest.mark.parametrize("count", [0, 1])
def test_a_table_without_numbers_is_a_picture_too(tmp_path: Path, count: int) -> None:
    """A run in which everything stayed float ends with a picture that says so."""
    empty = row(
        "a",
        precision="float32",
        macs=0,
        **dict.fromkeys(
            ("isolated_sqnr_db", "cumulative_sqnr_db", "cosine", "weight_sqnr_db", "saturation"),
            math.nan,
        ),
    )
    heatmap({"x": [empty] * count, "y": []}, tmp_path / "h.png", "t")
    heatmap({}, tmp_path / "none.png", "t")

    assert (tmp_path / "h.png").exists()
    assert (tmp_path / "none.png").exists()


def test_infinities_and_floats_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lossless is a number, not a hole; a float layer is no good int8 layer."""
    rows = [
        row("a", isolated_sqnr_db=math.inf),
        row("b", isolated_sqnr_db=-math.inf, cosine=-1.0, saturation=1.0),
        row("c", isolated_sqnr_db=math.nan, precision="float32"),
    ]
    heatmap({"x": rows}, tmp_path / "real.png", "t")
    texts = drawn(monkeypatch, tmp_path, rows)

    assert texts.count("inf") == 1
    assert texts.count("-inf") == 1
    assert texts.count("F") == 1
    assert "#1" in texts


def test_numbers_are_printed_up_to_60_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above that they would be dust; the picture is then read by colour, the CSV by number."""
    assert drawn(monkeypatch, tmp_path, table(60)).count("42.0") >= 60
    assert drawn(monkeypatch, tmp_path, table(61)).count("42.0") <= 2


@pytest.mark.parametrize("count", [20, 61, 300, 1000])
def test_the_worst_ten_are_named_at_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Who opens the picture of a large network looks for exactly these."""
    texts = drawn(monkeypatch, tmp_path, table(count))

    assert {f"/block{i}/Conv" for i in range(count - 10, count)} <= set(texts)
    assert {f"#{rank}" for rank in range(1, 11)} <= set(texts)
    assert count > 430 or {f"/block{i}/Conv" for i in range(count)} <= set(texts)


def test_the_picture_grows_with_the_network_and_has_an_end(tmp_path: Path) -> None:
    """Agg draws 65536 pixels at most, and a viewer much less."""
    heights = []
    for count in (20, 61, 450):
        flat = [dataclasses.replace(r, cosine=1.0) for r in table(count)]
        heatmap({"t": flat}, tmp_path / "h.png", "t")
        with Image.open(tmp_path / "h.png") as image:
            heights.append(image.height)

    assert heights == sorted(heights)
    assert heights[-1] < 8000


def test_pyplot_is_not_touched() -> None:
    """Its global state would choose a window system on a server without one."""
    code = (
        "import sys, quant.visualize.figures.heatmap; sys.exit('matplotlib.pyplot' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_colours_mean_the_same_in_every_run() -> None:
    """On a scale of its own the best network would look as broken as the worst."""
    good, bad = (Grid.of({"t": [row("a", isolated_sqnr_db=v)]}) for v in (60.0, 5.0))

    assert good.scale(0) == bad.scale(0)
    for grid, shade in ((good, 0.0), (bad, 1.0)):
        assert grid.scale(0).share(-grid.values["t"][:, 0]).tolist() == [shade]
    assert good.scale(0).ends == ("≥50", "≤10")


def test_every_layer_has_its_number_and_the_worst_a_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two kinds of numbers in one column are read as one."""
    texts = drawn(monkeypatch, tmp_path, table(12))

    assert {str(n) for n in range(1, 13)} <= set(texts)
    assert {"layer", "rank"} <= set(texts)

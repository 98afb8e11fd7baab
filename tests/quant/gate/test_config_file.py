"""The file of limits: what it says, and one sentence for each thing that it cannot say."""

from pathlib import Path

import pytest

from quant.common.errors import InputError
from quant.gate.config_file import load_gate
from quant.gate.measures import MEASURES, with_unit

GOOD = """
confidence = 0.9
judge = "simulated"

[[limit]]
measure = "accuracy_drop"
max = 0.01
by = "class"
slice = "night"

[[limit]]
measure = "layer_sqnr_db"
min = 20
layer = "head*"
target = "nnie"
confidence = 0.99
undecided = "pass"

[[slice]]
name = "night"
match = "night/*"

[[slice]]
name = "listed"
file = "listed.txt"
"""


def written(folder: Path, text: str, name: str = "gate.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_says_what_it_means(tmp_path: Path) -> None:
    """Every key arrives, and a limit's own words go before the file's."""
    (tmp_path / "listed.txt").write_text("a.png\n\nb c.png\n")
    gate = load_gate(written(tmp_path, GOOD))
    first, second = gate.limits

    assert (first.measure, first.bound, first.by, first.part) == (
        *("accuracy_drop", 0.01),
        *("class", "night"),
    )
    assert (first.confidence, first.undecided, first.place) == (
        *(0.9, "fail"),
        f"{tmp_path / 'gate.toml'}:5",
    )
    assert (second.layer, second.target, second.confidence) == ("head*", "nnie", 0.99)
    assert second.undecided == "pass"
    assert gate.judge == "simulated"
    assert gate.slices["night"].holds("night/1.png")
    assert not gate.slices["night"].holds("day/1.png")
    assert gate.slices["listed"].holds("b c.png")
    assert str(first) == "accuracy_drop at most 1 point, for each class, slice 'night'"
    assert str(second) == "layer_sqnr_db of 'head*' at least 20 dB"


def test_a_pyproject_says_the_same(tmp_path: Path) -> None:
    text = "[project]\nname = 'x'\n\n[[tool.quant.gate.limit]]\nmeasure = 'agreement'\nmin = 0.98\n"
    (limit,) = load_gate(written(tmp_path, text, "pyproject.toml")).limits

    assert (limit.measure, limit.bound) == ("agreement", 0.98)
    assert limit.place == f"{tmp_path / 'pyproject.toml'}:4"


LIMIT = "[[limit]]\nmeasure = "

MISTAKES = {
    "limits = 1\n": (
        ": a gate has no 'limits'. Did you mean 'limit'? Known: confidence, judge, limit, slice, "
        "undecided."
    ),
    "confidence = 0.9\n": (
        ": a gate without limits passes everything. Add a [[limit]] with measure and max or min."
    ),
    "[limit]\nmeasure = 'agreement'\n": ": limits are written as [[limit]]. Double the brackets.",
    LIMIT + "'acuracy_drop'\nmax = 1\n": (
        ":1: a limit has a known measure, saw 'acuracy_drop'. Did you mean 'accuracy_drop'? Known: "
        f"{', '.join(sorted(MEASURES))}."
    ),
    LIMIT + "'agreement'\nmin = 0.9\ntarged = 'x'\n": (
        ":1: a limit has no 'targed'. Did you mean 'target'? Known: by, confidence, layer, max, "
        "measure, metric, min, slice, target, undecided."
    ),
    LIMIT + "'agreement'\nmax = 0.9\n": (
        ":1: agreement is limited by min, saw max. Write min = ..., a number."
    ),
    LIMIT + "'agreement'\n": (
        ":1: agreement is limited by min, saw neither. Write min = ..., a number."
    ),
    LIMIT + "'agreement'\nmin = 98\n": (
        ":1: agreement is a share and cannot be more than 1, saw 98. Write 0.98 for 98 %."
    ),
    LIMIT + "'agreement'\nmin = 1\n": (
        ":1: no number of samples can show that agreement is 1. Write what is enough, such as 0.99."
    ),
    LIMIT + "'accuracy_drop'\nmax = 1.5\n": (
        ":1: accuracy_drop is a share below 1, saw 1.5. Write 0.01 for 1 point."
    ),
    LIMIT + "'accuracy_drop'\nmax = 'x'\n": (
        ":1: max: a share is written 1% or 0.01, from 0% to 100%, saw 'x'. Write for example 0.5% "
        "for half a percent."
    ),
    LIMIT + "'sqnr_db'\nmin = '30%'\n": ":1: min is a number, saw '30%'. Write one.",
    LIMIT + "'sqnr_db'\nmin = nan\n": ":1: min is a number, saw 'nan'. Write one.",
    LIMIT + "'sqnr_db'\nmin = 'high'\n": ":1: min is a number, saw 'high'. Write one.",
    LIMIT + "'agreement'\nmin = 0.9\nby = 'size'\n": (
        ":1: by is 'class', saw 'size'. Write one of them."
    ),
    LIMIT + "'agreement'\nmin = 0.9\nmetric = 5\n": (
        ":1: metric is a text, saw '5'. Write one of them."
    ),
    "confidence = 95\n" + LIMIT + "'agreement'\nmin = 0.9\n": (
        ": confidence is from 0.5 to below 1, saw '95'. Write 0.95."
    ),
    LIMIT + "'agreement'\nmin = 0.9\nslice = 'night'\n": (
        ":1: no slice is named 'night'. Add a [[slice]] with that name, or remove it."
    ),
    LIMIT + "'size_mb'\nmax = 9\nby = 'class'\n": (":1: size_mb is not measured by by. Remove by."),
    LIMIT + "'sqnr_db'\nmin = 9\nlayer = 'x'\n": (
        ":1: sqnr_db is not measured by layer. Remove layer."
    ),
    "[[slice]]\nname = 'a'\n": (
        ":1: a slice has a name, and a match or a file, saw name. Write what is missing."
    ),
    "[[slice]]\nname = 'a'\nmatch = 'b'\n[[slice]]\nname = 'a'\nmatch = 'c'\n": (
        ":4: slice 'a' is defined twice. Rename one."
    ),
    "[[slice]]\nname = 'a'\nfile = 'none.txt'\n": (
        ":1: file 'none.txt' is a list of sample names, one per line: there is no such file. "
        "Mend the path."
    ),
}


def test_a_share_may_be_written_in_percent(tmp_path: Path) -> None:
    """As on the command line."""
    text = LIMIT + "'accuracy_drop'\nmax = '2%'\n" + LIMIT + "'agreement'\nmin = '97.5%'\n"
    limits = load_gate(written(tmp_path, text)).limits

    assert [limit.bound for limit in limits] == [0.02, 0.975]


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_costs_one_sentence(text: str, tmp_path: Path) -> None:
    """A limit that is misread would hold nothing."""
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_gate(path)

    assert str(caught.value) == f"{path}{MISTAKES[text].replace('{folder}', str(tmp_path))}"


def test_a_pyproject_without_a_gate_is_no_gate(tmp_path: Path) -> None:
    path = written(tmp_path, "[tool.quant]\n", "pyproject.toml")
    with pytest.raises(InputError) as caught:
        load_gate(path)

    assert str(caught.value) == (
        f"{path}: a gate needs the table [tool.quant.gate], saw none. Add "
        "[[tool.quant.gate.limit]] with measure and max or min."
    )


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        *((0.01, "points", "1 point"), (0.0004, "points", "0.04 points"), (1.0, "%", "100 %")),
        *(
            (-0.00001, "points", "0 points"),
            (1e-9, "ms", "1e-09 ms"),
            (float("inf"), "dB", "inf dB"),
        ),
        *((12000.0, "dB", "1.2e+04 dB"), (100.0, "", "100"), (0.7, "", "0.7")),
    ],
)
def test_numbers_are_shown_as_people_read_them(value: float, unit: str, said: str) -> None:
    assert with_unit(value, unit) == said


def test_what_is_no_toml_is_said_in_tomllibs_words(tmp_path: Path) -> None:
    path = written(tmp_path, "[[limit]\n")
    with pytest.raises(InputError) as caught:
        load_gate(path)

    assert str(caught.value).startswith(f"{path}: a gate is a TOML file: ")
    assert str(caught.value).endswith(". Mend the file.")

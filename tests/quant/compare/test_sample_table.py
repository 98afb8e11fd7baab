"""The table of samples survives its file, whatever names strangers chose."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from quant.common.errors import InputError
from quant.compare.sample_table import (
    SampleCollector,
    SampleTable,
    joined,
    read_samples,
    samples_csv,
)

NAMES = ("=cmd()", 'say "hi", then\nleave', "日本/café.png", "$(rm -rf)", "'quoted", "-1", "plain")


def table(names: tuple[str, ...] = NAMES) -> SampleTable:
    n = len(names)
    rng = np.random.default_rng(0)
    return SampleTable(
        keys=names,
        digests=tuple(f"{i:016x}" for i in range(n)),
        labels=np.arange(n),
        float_class=np.arange(n) % 3,
        quantized_class=np.full(n, -1),
        float_scores={"top1": np.ones(n), "mine:a (b)": rng.normal(size=n)},
        scores={"top1": np.zeros(n), "mine:a (b)": rng.normal(size=n)},
        signal={"out,\n1": rng.normal(size=n)},
        noise={"out,\n1": np.array([np.nan, np.inf, *rng.normal(size=n - 2)])},
        better={"top1": "higher", "mine:a (b)": "lower"},
    )


def same(a: object, b: object) -> None:
    for field in fields(SampleTable):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, dict) and field.name != "better":
            assert list(x) == list(y)
            for key in x:
                np.testing.assert_array_equal(x[key], y[key])
        elif isinstance(x, np.ndarray):
            np.testing.assert_array_equal(x, y)
        else:
            assert x == y


def test_a_table_is_read_back_exactly(tmp_path: Path) -> None:
    """Names of files, metrics and outputs are strangers'; numbers keep every bit."""
    path = tmp_path / "samples.csv"
    path.write_text(samples_csv(table()), encoding="utf-8", newline="\n")

    same(read_samples(path), table())
    assert not any(line.startswith(("=", "-")) for line in samples_csv(table()).splitlines())


def test_copies_are_reported() -> None:
    """Ten images a hundred times over are not a thousand images."""
    whole = table()
    assert whole.copies == ""
    assert replace(whole, digests=("",) * 7).copies == ""
    assert replace(whole, digests=("a", "b", "a", "a", "c", "c", "d")).copies == (
        "3 of the 7 samples are copies of others and say nothing new; the intervals count them all, "
        "and are too narrow"
    )


def test_parts_join_to_the_whole() -> None:
    """A sequential gate gathers its table look by look."""
    whole = table()
    first = np.arange(len(whole)) < 3

    same(joined([whole.rows(first), whole.rows(~first)]), whole)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "",
            (
                "{}:1: a table of samples begins with sample, digest, label, float_class, class and has "
                "a row a sample, saw 0 rows below ''. Run quant calibrate again."
            ),
        ),
        (
            "sample,digest,label,float_class,class\na,b,1,2\n",
            "{}:2: every row has 5 cells, saw 4. Run quant calibrate again.",
        ),
        (
            "sample,digest,label,float_class,class\na,b,one,2,3\n",
            "{}: invalid literal for int() with base 10: 'one'. Run quant calibrate again.",
        ),
    ],
)
def test_a_broken_table_costs_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_samples(path)

    assert str(caught.value) == said.format(path)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    with pytest.raises(InputError) as caught:
        read_samples(path)

    assert str(caught.value) == (
        f"{path}: a gate needs the answers to each sample: there is no such file. "
        "Run quant calibrate again."
    )


def test_a_metric_that_did_not_judge_every_sample_is_left_out() -> None:
    """Half a table would be compared with another half."""
    each = SampleCollector()
    each.add([np.ones((2, 3))], [np.ones((2, 3))], 2)
    each.add_classes(np.eye(3)[:2], np.eye(3)[[1, 1]])
    told = [("a", "", 0), ("b", "", None)]
    table = each.table(["out"], told, {"top1": [np.ones(1)]}, {"top1": [np.ones(1)]}, [])

    assert dict(table.scores) == {}
    assert table.labels.tolist() == [0, -1]
    assert (table.float_class.tolist(), table.quantized_class.tolist()) == ([0, 1], [1, 1])

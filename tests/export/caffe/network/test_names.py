"""Names are unique and fit the mapper and the board."""

import re

import pytest

from quant.export.caffe.network.names import MAX_NAME_LENGTH, Names, mapper_name, shortened


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("/layer1/conv.0", "layer1_conv.0"),
        ('a"; $(rm -rf ~)\n', "a_rm_-rf"),
        ("卷积", "Conv"),
        ("conv_hp", "conv_hp_"),
        ("conv_cpu", "conv_cpu_"),
        ("conv_report", "conv_report_"),
        ("", "Conv"),
    ],
)
def test_a_name_is_plain_ascii_and_no_mark_by_chance(name: str, safe: str) -> None:
    """A layer that happens to be called `x_hp` would be computed in 16 bits."""
    assert mapper_name(name, "Conv") == safe
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", safe)


def test_a_short_name_fits_the_board_and_stays_apart() -> None:
    """The board keeps 31 characters; two long names must not become one."""
    names = [shortened("x" * 40 + end, "_report") for end in "ab"]

    assert names[0] != names[1]
    assert all(len(n) == MAX_NAME_LENGTH and n.endswith("_report") for n in names)
    assert shortened("x" * 31) == "x" * 31


def test_a_name_is_handed_out_once() -> None:
    names = Names()

    assert [names.take(n) for n in ("a", "a", "a_1", "a")] == ["a", "a_1", "a_1_1", "a_2"]

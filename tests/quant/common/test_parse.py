"""Text of flags as values."""

import pytest

from quant.common.errors import InputError
from quant.common.parse import share


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1%", 0.01),
        ("0.01", 0.01),
        (".5 %", 0.005),
        ("0.5%", 0.005),
        ("0", 0.0),
        ("0%", 0.0),
        ("1e-3", 0.001),
        ("100%", 1.0),
        (" 2.5% ", 0.025),
    ],
)
def test_one_percent_and_its_number_are_the_same(text: str, value: float) -> None:
    """Wherever the command line takes a share, it takes both."""
    assert share(text, "--max-drop") == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1", "saw '1', which may be 1 % or all. Write 1% or 100%."),
        ("1.0", "saw '1.0', which may be 1 % or all. Write 1% or 100%."),
        ("1.5", "saw '1.5'. Write 1.5%."),
        ("50", "saw '50'. Write 50%."),
        ("200%", "from 0% to 100%, saw '200%'."),
        ("-1%", "from 0% to 100%, saw '-1%'."),
        ("nan", "from 0% to 100%, saw 'nan'."),
        ("one", "from 0% to 100%, saw 'one'."),
        ("", "from 0% to 100%, saw ''."),
    ],
)
def test_what_might_be_meant_in_two_ways_is_refused(text: str, sentence: str) -> None:
    """A limit that is a hundred times too loose would pass everything."""
    with pytest.raises(InputError) as caught:
        share(text, "--max-drop")

    assert str(caught.value).startswith("--max-drop: a share is written 1% or 0.01, ")
    assert sentence in str(caught.value)

"""The error tree and the phrase that its messages share."""

import pytest

from quant.common import errors
from quant.common.errors import GateError, InputError, QuantError, UnsupportedError, few


@pytest.mark.parametrize("kind", [InputError, UnsupportedError, GateError])
def test_every_error_is_caught_as_quant_error_and_as_no_other(kind: type[QuantError]) -> None:
    """The command line catches the root and tells the exit code by the class."""
    assert issubclass(kind, QuantError)
    assert kind.__mro__[1] is QuantError


def test_the_root_is_no_builtin_error() -> None:
    """A ValueError of ours is a bug and keeps its traceback; a QuantError is a sentence."""
    assert QuantError.__mro__[1] is Exception


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """It is the only place where a reader sees all errors at once."""
    tree = [
        line.split()[1]
        for line in str(errors.__doc__).splitlines()
        if line.strip()[:2] in ("* ", "x ")
    ]

    kinds = [n for n in errors.__all__ if isinstance(getattr(errors, n), type)]
    assert sorted(tree) == sorted(kinds)


@pytest.mark.parametrize(
    ("names", "most", "text"),
    [
        ([], 5, ""),
        (["a"], 5, "'a'"),
        (["a", "b"], 2, "'a', 'b'"),
        (["a", "b", "c"], 2, "'a', 'b' and 1 more"),
        (list("abcdefgh"), 5, "'a', 'b', 'c', 'd', 'e' and 3 more"),
    ],
)
def test_few_quotes_joins_cuts_and_counts(names: list[str], most: int, text: str) -> None:
    """A message about a thousand nodes must still fit a terminal, and say that it was cut."""
    assert few(names, most) == text


def test_few_takes_an_iterator_and_five_by_default() -> None:
    """Messages are often written from generators."""
    assert few(str(n) for n in range(6)) == "'0', '1', '2', '3', '4' and 1 more"

"""A target's version: one flag in its table, one mapping by target name everywhere else."""

import re

import pytest

from quant.common.errors import InputError
from quant.target.table import TARGETS, checked_versions
from quant.target.version_flag import VersionFlag

NUMBERS = VersionFlag(target="toy", flag="--toy-version", default="2", choices=("1", "2"), help="T")


def test_a_version_is_the_users_or_the_default() -> None:
    """The mapping holds what was asked of every target; each reads its own."""
    assert NUMBERS.of({"toy": "1", "atlas": "Ascend310"}) == "1"
    assert NUMBERS.of({"atlas": "Ascend310"}) == "2"


def test_a_version_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(InputError, match=re.escape("--toy-version: must be one of 1, 2, saw '3'.")):
        NUMBERS.of({"toy": "3"})


def test_a_targets_own_check_decides_where_there_is_no_list() -> None:
    """TensorRT takes "8.6.1" too, so that its versions are no list."""
    flag = TARGETS["tensorrt"].version
    assert flag is not None

    assert flag.of({"tensorrt": "8.6.1"}) == "8.6.1"
    with pytest.raises(InputError, match="must be 8, 10 or 11"):
        flag.of({"tensorrt": "9"})


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({"tensort": "8"}, "No target is named 'tensort'. Did you mean 'tensorrt'?"),
        ({"onnxruntime": "1"}, "versions: target 'onnxruntime' has none to choose from, saw '1'."),
        ({"nnie": "2.0"}, "--nnie-version: must be one of 1.1, 1.2, saw '2.0'."),
    ],
)
def test_versions_of_targets_that_have_none_are_refused(
    versions: dict[str, str], message: str
) -> None:
    """A misspelt name would export for the default version without a word."""
    with pytest.raises(InputError, match=re.escape(message)):
        checked_versions(versions)


def test_every_flag_belongs_to_one_target() -> None:
    """The command line takes the flags of all targets at once."""
    flags = {n: f for n in TARGETS if (f := TARGETS[n].version) is not None}

    assert {n: f.target for n, f in flags.items()} == {n: n for n in flags}
    assert len({f.flag for f in flags.values()}) == len(flags)
    for flag in flags.values():
        assert flag.checked(flag.default) == flag.default

"""Precision: the bits of every member, which of them are floats, and the words of plans and files."""

import json

import pytest

from quant.formats.precision import Precision


def test_every_precision_has_its_bits() -> None:
    assert {str(p): (p.weight_bits, p.activation_bits) for p in Precision} == {
        "int8": (8, 8),
        "int16": (16, 16),
        "w4a8": (4, 8),
        "w4a4": (4, 4),
        "w8a16": (8, 16),
        "fp8": (8, 8),
        "float16": (16, 16),
        "float32": (32, 32),
    }


def test_only_plain_floats_are_not_quantized() -> None:
    """Float8 numbers have a measured scale, so that a layer of "fp8" is quantized."""
    assert [p for p in Precision if not p.quantized] == ["float16", "float32"]


@pytest.mark.parametrize("precision", Precision)
def test_a_member_is_its_word_in_every_file(precision: Precision) -> None:
    """Plans, tables and messages must not show a member's Python name."""
    assert json.dumps({precision: precision}) == f'{{"{precision.value}": "{precision.value}"}}'
    assert f"{precision}" == str(precision) == precision.value

"""A prototxt of any exporter is read as far as possible, and every unknown field is named."""

import pytest

from quant.export.nnie.check.prototxt import UnknownField, read_prototxt


def test_every_unknown_field_is_named_with_its_line_and_the_rest_is_read() -> None:
    """Who mends one at a time would run the check ten times."""
    text = """name: "n"
layer { name: "p" type: "Pooling" pooling_param { pool: AVE ceil_mode: false stride: 2 } }
layer { name: "q" foo: "b } c" bar: [1, 2 , 3] baz: -1, qux < a: 3 > # } not this one
  type: "ReLU" odd_param { x: 1 inner { y: "}" } } }
"""
    read = read_prototxt(text)

    assert [(u.message, u.field, u.line) for u in read.unknown] == [
        ("PoolingParameter", "ceil_mode", 2),
        ("LayerParameter", "foo", 3),
        ("LayerParameter", "bar", 3),
        ("LayerParameter", "baz", 3),
        ("LayerParameter", "qux", 3),
        ("LayerParameter", "odd_param", 4),
    ]
    assert read.broken is None
    assert read.net.layer[0].pooling_param.stride == 2
    assert [layer.type for layer in read.net.layer] == ["Pooling", "ReLU"]


def test_the_layers_of_old_are_an_unknown_field() -> None:
    read = read_prototxt('layers { name: "c" type: CONVOLUTION }')

    assert read.unknown == (UnknownField(message="NetParameter", field="layers", line=1),)
    assert len(read.net.layer) == 0


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("layer {\n name: 3 }", 2, "' name: 3 }': Expected string but found: '3'"),
        ("layer {", 1, 'Expected "}"'),
        ("\nlayer { pooling_param { pool: FOO } }", 2, "has no value named FOO"),
        ("\x00", 1, "Expected identifier or number"),
        ("layer { foo: [ }", 1, 'Expected "}"'),
        ('"', 1, "Expected identifier or number"),
        ("<html>", 1, "Expected identifier or number"),
    ],
)
def test_what_is_no_prototxt_says_where_it_stops(text: str, line: int, said: str) -> None:
    read = read_prototxt(text)

    assert read.net is None
    assert read.broken is not None
    assert read.broken[0] == line
    assert said in read.broken[1]


def test_a_file_of_another_kind_is_given_up() -> None:
    read = read_prototxt("".join(f"key{i}: {i}\n" for i in range(1000)))

    assert read.net is None
    assert len(read.unknown) == 100

"""What every number format must keep: its grid is the same in numpy, in ONNX and in plan.json."""

import json
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from quant.common.files import json_text
from quant.formats.number_format import NumberFormat, read_format
from quant.formats.onnx_functions import DOMAIN
from quant.graph.session import open_simulation
from quant.target.table import TARGETS


def formats() -> dict[str, NumberFormat]:
    """Return every format of every target, by name and by whether it has an axis."""
    pairs = [pair for name in TARGETS for pair in TARGETS[name].simulated_formats.values()]
    every: dict[str, NumberFormat] = {}
    for number in (x for pair in pairs for x in pair):
        every[number.name] = number
        every[f"{number.name} per channel"] = number.with_axis(1)
    return every


EVERY_FORMAT = pytest.mark.parametrize("number", formats().values(), ids=formats())
X = np.random.default_rng(5).normal(0, 2, (4, 3, 5)).astype(np.float32)


def numbers_of(number: NumberFormat) -> Any:
    """Return the numbers of the grid that covers X, one for each index of the format's axis."""
    axes = None if number.axis is None else (0, 2)
    return number.parameters(np.min(X, axes), np.max(X, axes))


@EVERY_FORMAT
def test_a_format_reads_back_what_it_wrote_into_a_plan(number: NumberFormat) -> None:
    """A plan is kept, edited and exported on another day; its numbers must be the same bits."""
    numbers = numbers_of(number)
    row = number.describe(numbers)
    row = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in row.items()}
    again, read = read_format(json.loads(json_text(row)))

    assert again == number
    assert read.arrays().keys() == numbers.arrays().keys()
    for name, array in numbers.arrays().items():
        np.testing.assert_array_equal(read.arrays()[name], array)


@EVERY_FORMAT
def test_a_format_computes_the_same_bits_in_onnx(number: NumberFormat) -> None:
    """What ONNX lacks comes as a function that the format brings along."""
    numbers, value = numbers_of(number), ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT))
    value.shape = ir.Shape(X.shape)
    nodes, functions, tensors = [], [], []
    last = value
    for step in number.onnx_nodes(numbers, X.ndim):
        constants = []
        for key, array in step.constants.items():
            name = f"{step.op}_{key}"
            constants.append(ir.Value(name=name, const_value=ir.tensor(array, name=name)))
        domain = ""
        if step.function is not None:
            domain = DOMAIN
            functions.append(step.function(number.opset))
        node = ir.node(step.op, [last, *constants], step.attributes, domain=domain)
        nodes.append(node)
        tensors += constants
        last = node.outputs[0]
        last.name, last.dtype = f"{step.op}_out", ir.DataType[step.dtype]
    opsets = {"": number.opset, DOMAIN: 1}
    graph = ir.Graph(
        [value], [last], nodes=nodes, initializers=tensors, opset_imports=opsets, name="g"
    )
    model = ir.Model(graph, ir_version=9, functions=functions)
    (made,) = open_simulation(model, threads=1).run(None, {"x": X})

    np.testing.assert_array_equal(made, number.fake_quantize(X, numbers))


@EVERY_FORMAT
def test_a_grid_covers_the_range_and_holds_zero(number: NumberFormat) -> None:
    """Padding and dead channels are zeros, and stay zeros on every chip."""
    numbers = numbers_of(number)
    low, high = number.grid_range(numbers)
    zeros = np.zeros(X.shape, np.float32)

    assert np.all(low <= 0)
    assert np.all(high > 0)
    np.testing.assert_array_equal(number.fake_quantize(zeros, numbers), zeros)
    assert number.bits >= 2
    assert np.isfinite(number.fake_quantize(X, numbers)).all()
    least, most = number.rounding_range(numbers)
    assert np.all(least <= low)
    assert np.all(most >= high)


def test_a_name_that_no_format_has_is_refused() -> None:
    """A plan of a package that is not installed here cannot be computed."""
    with pytest.raises(ValueError, match="No number format is named 'posit'"):
        read_format({"format": "posit8"})

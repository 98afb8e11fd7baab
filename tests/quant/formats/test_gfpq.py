"""The logarithmic grid against HiSilicon's own library, and in ONNX Runtime against itself."""

import json
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from quant.formats.gfpq import GFPQ8, GFPQ16, GRIDS, Gfpq, GfpqParams, gfpq_function
from quant.graph.session import open_session
from tests.tree import ROOT

GOLDEN = ROOT / "tests" / "golden" / "nnie" / "gfpq_vectors.json"
VECTORS: list[dict[str, Any]] = json.loads(GOLDEN.read_text(encoding="utf-8"))


def delta_of(value: int) -> GfpqParams:
    return GfpqParams(delta=np.array(value, np.int32))


@pytest.mark.parametrize("vector", VECTORS, ids=[v["name"] for v in VECTORS])
def test_the_vendors_library_gives_the_same_bits(vector: dict[str, Any]) -> None:
    number, x = Gfpq(bits=vector["bits"]), np.array(vector["x"], np.float32)
    if vector["mode"] == 0:
        assert int(number.parameters(x.min(), x.max()).delta) == vector["delta"]
    made = number.fake_quantize(x, delta_of(vector["delta"]))

    np.testing.assert_array_equal(made, np.array(vector["y"], np.float32))


def test_there_are_28_vectors_of_both_widths() -> None:
    """An empty file would pass the test above."""
    assert len(VECTORS) == 28
    assert {v["bits"] for v in VECTORS} == {8, 16}


def in_onnx_runtime(number: Gfpq, x: np.ndarray, delta: np.ndarray, opset: int = 17) -> np.ndarray:
    value = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(x.shape))
    held = ir.Value(name="delta", const_value=ir.tensor(delta.astype(np.int64), name="delta"))
    node = ir.node(f"Gfpq{number.bits}", [value, held], domain="quant")
    node.outputs[0].name, node.outputs[0].type = "y", ir.TensorType(ir.DataType.FLOAT)
    imports = {"": opset, "quant": 1}
    graph = ir.Graph(
        [value], node.outputs, nodes=[node], initializers=[held], opset_imports=imports, name="g"
    )
    model = ir.Model(graph, ir_version=8, functions=[gfpq_function(opset, number.bits)])
    made: np.ndarray = open_session(model, threads=1).run(None, {"x": x})[0]
    return made


@pytest.mark.parametrize("number", [GFPQ8, GFPQ16], ids=["8", "16"])
@pytest.mark.parametrize("delta", [-1002, -446, -127, -77, 17, 511])
def test_the_function_gives_the_same_bits_in_onnx_runtime(number: Gfpq, delta: int) -> None:
    """Levels, the middles between them in the log domain, and their float32 neighbours."""
    steps, levels, most = GRIDS[number.bits]
    delta = int(np.clip(delta, -most, most))
    middles = np.exp2((np.arange(-4, levels + 4) + delta + 0.5) / steps).astype(np.float32)
    exact = np.exp2((np.arange(-20, levels + 4) + delta) / steps).astype(np.float32)
    near = np.concatenate([middles, exact, [0, 1e-38, 3e38]]).astype(np.float32)
    near = np.concatenate(
        [near, np.nextafter(near, np.float32(0)), np.nextafter(near, np.float32(3e38))]
    )
    x = np.concatenate([near, -near]).astype(np.float32)

    wanted = number.fake_quantize(x, delta_of(delta))
    np.testing.assert_array_equal(in_onnx_runtime(number, x, np.array(delta)), wanted)


@pytest.mark.parametrize("opset", [13, 18, 21, 24])
def test_the_function_fits_a_model_of_every_opset(opset: int) -> None:
    x = np.linspace(-9, 9, 37, dtype=np.float32)

    made = in_onnx_runtime(GFPQ8, x, np.array(-77), opset)
    np.testing.assert_array_equal(made, GFPQ8.fake_quantize(x, delta_of(-77)))


def test_a_delta_for_each_channel_is_as_many_grids() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    x *= np.array([1, 100, 0.01], np.float32).reshape(1, 3, 1, 1)
    number = GFPQ8.with_axis(1)
    numbers = number.parameters(x.min(axis=(0, 2, 3)), x.max(axis=(0, 2, 3)))
    made = number.fake_quantize(x, numbers)

    for channel in range(3):
        alone = GFPQ8.parameters(x[:, channel].min(), x[:, channel].max())
        np.testing.assert_array_equal(made[:, channel], GFPQ8.fake_quantize(x[:, channel], alone))
    (step,) = number.onnx_nodes(numbers, 4)
    delta = step.constants["delta"]
    assert delta.shape == (1, 3, 1, 1)
    np.testing.assert_array_equal(in_onnx_runtime(number, x, delta), made)


finite = st.floats(-(2.0**20), 2.0**20, width=32).filter(lambda v: v == 0 or abs(v) > 2.0**-10)


@given(npst.arrays(np.float32, st.integers(1, 40), elements=finite))
def test_within_its_octaves_the_error_is_half_a_step_or_the_clipped_top(x: np.ndarray) -> None:
    """2 ** (1 / 32) - 1 = 2.19 %; the greatest value alone may be a whole step, 4.24 %, too low."""
    top = float(np.abs(x).max())
    numbers = GFPQ8.parameters(x.min(), x.max())
    made = GFPQ8.fake_quantize(x, numbers)
    inside = (np.abs(x) > top * 2.0**-7.8) & (np.abs(x) <= GFPQ8.grid_range(numbers)[1])

    assert np.all(np.abs(made - x)[inside] <= 0.0219 * np.abs(x)[inside])
    assert np.all(np.abs(made - x) <= np.maximum(0.0424 * np.abs(x), top * 2.0**-7.8))


def test_what_is_read_back_is_what_was_described() -> None:
    for number, delta in ((GFPQ8, np.array(-77)), (GFPQ16.with_axis(1), np.array([1, -1002]))):
        numbers = GfpqParams(delta=delta.astype(np.int32))
        again, kept = Gfpq.read(number.describe(numbers))

        assert again == number
        np.testing.assert_array_equal(kept.delta, numbers.delta)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"format": "gfpq4", "axis": None, "delta": 0}, "Gfpq.bits must be 8 or 16, saw 4."),
        ({"format": "gfpq8", "axis": None, "delta": 600}, "delta must be -511 to 511"),
        (
            {"format": "gfpq8", "axis": 1, "delta": 0},
            "one delta goes with axis null, a list of deltas with a number",
        ),
    ],
)
def test_a_plan_cannot_ask_for_another_grid(row: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Gfpq.read(row)

    assert str(caught.value) == said

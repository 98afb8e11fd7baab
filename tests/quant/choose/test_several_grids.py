"""Several grids of one tensor: NNIE quantizes the input of each layer, not a tensor for all."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from quant.choose.planner import Planner
from quant.common.errors import InputError
from quant.formats.gfpq import GFPQ8, GFPQ16, Gfpq, GfpqParams
from quant.graph.session import open_simulation
from quant.plan.file import load_plan, save_plan
from quant.plan.recipe import Recipe, Rule
from quant.plan.tensor_plans import Plan, TensorPlan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.check_plan import check_plan
from quant.target.table import TARGETS
from tests.chosen import inputs, prepared, profiled
from tests.models import model, weights

NNIE = TARGETS["nnie"]


def branches() -> onnx.ModelProto:
    """Return a tensor that a 16-bit, an 8-bit and a depthwise convolution read."""
    return model(
        """g (float[N,3,16,16] input) => (float[N,4,16,16] y, float[N,4,16,16] z, float[N,3,14,14] d) {
            [high] y = Conv(input, w1, b1)
            [low] z = Conv(input, w2)
            [depth] d = Conv<group=3>(input, w3)
        }""",
        weights(0, w1=(4, 3, 1, 1), b1=(4,), w2=(4, 3, 1, 1), w3=(3, 1, 3, 3)),
    )


GRAPH = prepared(branches())
FEEDS = {"input": inputs(GRAPH)["input"] * np.float32([1, 30, 0.02]).reshape(1, 3, 1, 1)}
RECIPE = Recipe(rules=(Rule(match="high", precision="int16"),))
PLAN = Planner(target=NNIE, recipe=RECIPE).choose(GRAPH, profiled(GRAPH, FEEDS))


def grid(reader: str, tensor: str = "input") -> TensorPlan:
    found = PLAN.grid(tensor, reader)
    assert found is not None
    return found


def test_each_reader_has_the_grid_of_its_precision() -> None:
    assert grid("high").format == GFPQ16
    assert grid("low").format == GFPQ8
    assert grid("high", "w1").format == GFPQ16
    assert PLAN.layers["high"].precision == "int16"
    assert PLAN.grid("input", "nobody") is None


def test_a_convolution_with_groups_has_a_grid_for_each() -> None:
    """A quiet channel beside a loud one would go under in one grid."""
    number, params = grid("depth").format, grid("depth").params
    assert number == GFPQ8.with_axis(1)
    assert isinstance(params, GfpqParams)
    for channel in range(3):
        x = FEEDS["input"][:, channel]
        assert params.delta[channel] == GFPQ8.parameters(x.min(), x.max()).delta


def seen(x: np.ndarray, number: Gfpq) -> np.ndarray:
    return number.fake_quantize(x, number.parameters(x.min(), x.max())).astype(np.float64)


def test_the_simulation_is_the_layer_on_quantized_numbers() -> None:
    """In float64 by hand: each layer sees its own input and weight, the bias stays."""
    session = open_simulation(quantize_graph(GRAPH, PLAN, NNIE), threads=1)
    y, z, d = session.run(None, FEEDS)
    x, w = FEEDS["input"], {n: GRAPH.array(n) for n in ("w1", "b1", "w2", "w3")}
    high = np.einsum("nchw,kc->nkhw", seen(x, GFPQ16), seen(w["w1"], GFPQ16)[:, :, 0, 0])
    low = np.einsum("nchw,kc->nkhw", seen(x, GFPQ8), seen(w["w2"], GFPQ8)[:, :, 0, 0])

    np.testing.assert_allclose(y, high + w["b1"][:, None, None], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(z, low, rtol=1e-4, atol=1e-4)
    for channel in range(3):
        one, kernel = seen(x[:, channel], GFPQ8), seen(w["w3"][channel, 0], GFPQ8)
        windows = np.lib.stride_tricks.sliding_window_view(one, (3, 3), axis=(1, 2))
        wanted = np.einsum("nhwij,ij->nhw", windows, kernel)
        np.testing.assert_allclose(d[:, channel], wanted, rtol=1e-4, atol=1e-4)


def test_a_plan_file_keeps_every_grid(tmp_path: Path) -> None:
    save_plan(PLAN, tmp_path / "plan.json")
    again = load_plan(tmp_path / "plan.json")
    save_plan(again, tmp_path / "again.json")

    assert list(again.tensors) == list(PLAN.tensors)
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "plan.json").read_bytes()
    found = again.grid("input", "depth")
    assert found is not None
    assert found.format == GFPQ8.with_axis(1)


def edited(key: str, **change: object) -> Plan:
    tensors = dict(PLAN.tensors)
    tensors[key] = replace(tensors[key], **change)  # type: ignore[arg-type]
    return replace(PLAN, tensors=tensors)


def test_an_edit_that_fits_no_chip_is_one_sentence() -> None:
    key = next(k for k, t in PLAN.tensors.items() if t.format == GFPQ8.with_axis(1) and "in" in k)
    short = GfpqParams(delta=np.array([1, 2], np.int32))
    with pytest.raises(InputError) as caught:
        check_plan(edited(key, params=short), GRAPH, NNIE)
    assert str(caught.value) == (
        "plan for 'nnie': tensor 'input' of shape ['N', '3', '16', '16'] has 2 deltas along axis "
        "1. Give one for each index."
    )
    with pytest.raises(InputError) as caught:
        check_plan(replace(PLAN, target="tensorrt"), GRAPH, TARGETS["tensorrt"])
    assert str(caught.value) == (
        "plan for 'tensorrt': tensor 'input' is gfpq8, and TensorRT takes symmetric int8 or "
        "float8e4m3fn or float16 for an activation. Choose again for this target."
    )


def test_what_has_no_float_unit_quantizes_what_follows_the_last_weight_too() -> None:
    """On NNIE a pool behind the last convolution still reads codes."""
    proto = model(
        """g (float[N,3,16,16] input) => (float[N,4,8,8] y) {
            [c] a = Conv(input, w)
            [p] y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)
        }""",
        weights(0, w=(4, 3, 1, 1)),
    )
    graph = prepared(proto)
    plan = Planner(target=NNIE).choose(graph, profiled(graph))

    assert plan.layers["p"].precision == "int8"
    assert plan.grid("a", "p") is not None
    other = Planner(target=TARGETS["tensorrt"]).choose(graph, profiled(graph))
    assert other.layers["p"].precision == "float32"


def test_a_pool_that_a_float_layer_reads_is_float_itself() -> None:
    """Behind a pool of integers the float layer would read integers, against its rule."""
    w = weights(0, w1=(16, 3, 3, 3), w2=(16, 16, 3, 3), w3=(16, 16, 1, 1))
    proto = model(
        """g (float[N,3,16,16] input) => (float[N,16,8,8] y, float[N,16,8,8] z) {
            [c1] a = Conv<pads=[1,1,1,1]>(input, w1)
            [r] b = Relu(a)
            [p] m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(b)
            [q] n = MaxPool<kernel_shape=[1,1]>(m)
            [c2] y = Conv<pads=[1,1,1,1]>(n, w2)
            [c3] d = Conv(m, w3)
            [c4] z = Conv(d, w4)
        }""",
        w | {"w4": w["w2"].reshape(16, 16, 3, 3)[:, :, :1, :1].copy()},
    )
    graph = prepared(proto)
    recipe = Recipe(rules=(Rule(match="c2", precision="float"),))
    plan = Planner(target=TARGETS["tensorrt"], recipe=recipe).choose(graph, profiled(graph))

    assert [plan.layers[n].precision for n in ("p", "q", "c2")] == ["float32"] * 3
    assert plan.layers["p"].because == "a float layer reads it"
    assert plan.grid("m", "c3") is not None
    assert plan.grid("b", "p") is None


@pytest.mark.parametrize("second", ["c2", "c3"])
def test_a_tensor_named_like_another_ones_second_grid_keeps_its_own(
    second: str, tmp_path: Path
) -> None:
    """Names may be anything; a grid that is overwritten is a layer that reads floats."""
    proto = model(
        """g (float[N,3,16,16] x) => (float[N,3,16,16] y, float[N,3,16,16] z) {
            [c1] a = Conv(x, w1)
            [c2] z = Conv(a, w1)
            [c3] y = Conv(a, w1)
        }""",
        weights(0, w1=(3, 3, 1, 1)),
    )
    odd = f"a for {second}"
    proto.graph.input[0].name = proto.graph.node[0].input[0] = odd
    graph = prepared(proto)
    recipe = Recipe(rules=(Rule(match="c2", precision="int16"),))
    plan = Planner(target=NNIE, recipe=recipe).choose(graph, profiled(graph))
    save_plan(plan, tmp_path / "plan.json")

    for one in (plan, load_plan(tmp_path / "plan.json")):
        grids = [one.grid(*pair) for pair in ((odd, "c1"), ("a", "c2"), ("a", "c3"))]
        assert [g.format for g in grids if g is not None] == [GFPQ8, GFPQ16, GFPQ8]

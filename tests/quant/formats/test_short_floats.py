"""Short floats: numpy against ONNX Runtime's own conversions."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quant.choose.planner import Planner
from quant.formats.number_format import Params
from quant.formats.short_floats import FLOAT8, FLOAT16, Float8
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session, open_simulation
from quant.plan.recipe import Recipe, Rule
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.deployment import Deployment
from quant.target.table import TARGETS
from tests.chosen import chosen, inputs, prepared, profiled, run
from tests.models import conv_relu_net, model, weights


def in_onnx_runtime(scale: float, x: np.ndarray) -> np.ndarray:
    proto = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 19]>
        g (float[N] x, float scale, float8e4m3fn zero) => (float[N] y) {
            q = QuantizeLinear(x, scale, zero)
            y = DequantizeLinear(q, scale, zero)
        }"""
    )
    feeds = {
        "scale": np.float32(scale),
        "zero": FLOAT8.quantized_array(np.zeros(()), FLOAT8.parameters(0, 0)),
    }
    graph = ir.from_proto(proto)
    for name, array in feeds.items():
        value = next(v for v in graph.graph.inputs if v.name == name)
        graph.graph.inputs.remove(value)
        value.const_value = ir.tensor(np.asarray(array), name=name)
        graph.graph.register_initializer(value)
    made: np.ndarray = open_session(graph, threads=1, optimize=False).run(None, {"x": x})[0]
    return made


@pytest.mark.parametrize("scale", [1.0, 0.0098, 3.7])
def test_float8_rounds_and_saturates_as_onnx_runtime_does(scale: float) -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=5000) * np.exp2(rng.uniform(-12, 10, 5000))).astype(np.float32)
    x = np.concatenate([x, np.float32([0, 448, 449, 464, 465, 1e9, 2.0**-9, 2.0**-10, -1e9])])
    params = FLOAT8.parameters(0, 448 * scale)

    np.testing.assert_array_equal(
        FLOAT8.fake_quantize(x, params), in_onnx_runtime(float(params.scale), x)
    )


def test_float8_covers_a_range_with_448_steps_of_its_scale() -> None:
    params = FLOAT8.parameters(-2.0, 1.0)

    assert float(params.scale) == np.float32(2.0 / 448)
    assert [float(v) for v in FLOAT8.grid_range(params)] == [-2.0, 2.0]
    assert float(FLOAT8.parameters(0.0, 0.0).scale) == 1.0
    assert FLOAT8.with_axis(0).parameters([-1, 0], [0, 2]).scale.shape == (2,)


def test_float16_is_numpys() -> None:
    x = np.float32([1 / 3, 2049, 65504, 65519, 65520, -1e9, 6e-8, 1e-8])
    wanted = np.float32([0.33325195, 2048, 65504, 65504, np.inf, -np.inf, 5.9604645e-08, 0])

    np.testing.assert_array_equal(FLOAT16.fake_quantize(x), wanted)


@pytest.mark.parametrize(
    "row",
    [{"axis": None, "scale": [0.5]}, {"axis": 0, "scale": 0.5}],
)
def test_one_scale_goes_with_no_axis(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one scale goes with axis null, a list of scales with a"):
        Float8.read(row)


def by_hand(x: np.ndarray) -> np.ndarray:
    return FLOAT8.fake_quantize(x, FLOAT8.parameters(x.min(), x.max()))


def test_a_float8_layer_is_simulated_behind_its_relu() -> None:
    """ONNX Runtime drops a Relu in front of float8 quantizers, which costs all accuracy."""
    proto = model(
        """g (float[N,3,16,16] input) => (float[N,4,16,16] output) {
            [c1] a = Conv(input, w1)
            [r1] b = Relu(a)
            [c2] output = Conv(b, w2)
        }""",
        weights(0, w1=(5, 3, 1, 1), w2=(4, 5, 1, 1)),
    )
    graph = prepared(proto)
    feeds = inputs(graph)
    plan = float8_plan(graph)
    x = feeds["input"].astype(np.float64)
    w1, w2 = (channelwise(graph.array(name)) for name in ("w1", "w2"))
    hidden = np.maximum(np.einsum("nchw,kc->nkhw", by_hand(x), w1[:, :, 0, 0]), 0)
    float_hidden = np.maximum(np.einsum("nchw,kc->nkhw", x, graph.array("w1")[:, :, 0, 0]), 0)
    params = FLOAT8.parameters(0, float_hidden.max())
    seen = FLOAT8.fake_quantize(hidden, params)
    wanted = np.einsum("nchw,kc->nkhw", seen, w2[:, :, 0, 0])
    made = open_simulation(quantize_graph(graph, plan, TARGETS["tensorrt"])).run(None, feeds)[0]

    noise = ((made - wanted) ** 2).sum() / (wanted**2).sum()
    assert noise < 1e-5


def channelwise(w: np.ndarray) -> np.ndarray:
    number = FLOAT8.with_axis(0)
    rows = w.reshape(len(w), -1)
    return number.fake_quantize(w, number.parameters(rows.min(axis=1), rows.max(axis=1)))


def float8_plan(graph: Graph) -> Plan:
    recipe = Recipe(rules=(Rule(op="Conv", precision="fp8"),))
    return Planner(target=TARGETS["tensorrt"], recipe=recipe, observer="minmax").choose(
        graph, profiled(graph)
    )


def test_float16_layers_are_simulated_as_rounded_inputs_and_weights() -> None:
    recipe = Recipe(rules=(Rule(match="conv2", precision="float16"),))
    graph, plan = chosen(conv_relu_net(), "tensorrt", recipe)
    halves = {t.tensor: t.readers for t in plan.quantized if t.format is FLOAT16}

    assert plan.layers["conv2"].precision == "float16"
    assert halves == {"b": (("conv2", 0),), "w2": (("conv2", 1),)}
    made = run(quantize_graph(graph, plan, TARGETS["tensorrt"]), inputs(graph))[0]
    wanted = run(graph.model, inputs(graph))[0]
    assert ((made - wanted) ** 2).sum() / (wanted**2).sum() < 1e-2


def test_beside_float16_layers_scales_are_what_the_typed_graph_stores(tmp_path: Path) -> None:
    """Else the export rounds them, and is no longer what was simulated."""
    recipe = Recipe(rules=(Rule(match="fc", precision="float16"),))
    graph, plan = chosen(conv_relu_net(), "tensorrt", recipe)
    scales = [t.params.scale for t in plan.quantized if isinstance(t.params, Params)]
    assert len(scales) == 4
    for tensor in plan.quantized:
        if tensor.kind == "activation" and isinstance(tensor.params, Params):
            scale = tensor.params.scale
            np.testing.assert_array_equal(scale.astype(np.float16).astype(np.float32), scale)
    TARGETS["tensorrt"].write(graph, plan, tmp_path, Deployment())
    feeds = inputs(graph, seed=5)
    simulated = open_simulation(quantize_graph(graph, plan, TARGETS["tensorrt"]), threads=1)
    exported = open_simulation(ir.load(tmp_path / "model.onnx"), threads=1)
    a, b = (session.run(None, feeds)[0] for session in (simulated, exported))

    assert ((a - b) ** 2).sum() / (a**2).sum() < 2.0**-20  # float16 has 2**-11

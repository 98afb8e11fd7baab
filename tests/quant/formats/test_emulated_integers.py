"""4 and 16 bits in the simulation are those of the format, and are not exported where none run."""

import json
from pathlib import Path

import numpy as np
import pytest

from quant.common.errors import InputError
from quant.deploy.target_folder import TargetFolder, refuse_unexportable
from quant.plan.recipe import Recipe, Rule
from quant.simulate.simulated_graph import quantize_graph
from quant.target.deployment import Deployment
from quant.target.table import TARGETS
from tests.chosen import chosen, inputs, run
from tests.models import conv_relu_net, model, weights

BITS = {"w4a8": (4, 8), "w4a4": (4, 4), "w8a16": (8, 16)}


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
@pytest.mark.parametrize("precision", BITS)
def test_a_layer_computes_on_the_grids_of_its_bits(precision: str, target: str) -> None:
    """By hand, in float64: integers of the input and the weight, clipped to their bits."""
    proto = model(
        "g (float[N,6] x) => (float[N,4] y) { [fc] y = MatMul(x, w) }", weights(0, w=(6, 4))
    )
    graph, plan = chosen(proto, target, Recipe(defaults=Rule(precision=precision)))
    weight_bits, bits = BITS[precision]
    feeds = {"x": 2 * inputs(graph, 5)["x"]}  # beyond the profiled range
    w, x = plan.tensors["w"].params, plan.grid("x", "fc").params  # type: ignore[union-attr]
    top = 2 ** (weight_bits - 1) - 1
    signed = target == "tensorrt"
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    held = np.clip(np.rint(graph.array("w") / w.scale), -top, top) * w.scale.astype(np.float64)  # type: ignore[union-attr]
    q = np.clip(np.rint(feeds["x"] / x.scale) + x.zero_point, low, high)  # type: ignore[union-attr]
    seen = (q - x.zero_point) * x.scale.astype(np.float64)  # type: ignore[union-attr]
    if "y" in {t.tensor for t in plan.quantized}:
        pytest.fail("the output has no grid here")
    for form in ("integer", "float"):
        (made,) = run(quantize_graph(graph, plan, TARGETS[target], weight_form=form), feeds)
        np.testing.assert_allclose(made, seen @ held, rtol=1e-5, atol=1e-5)


def test_four_bit_weights_run_on_integer_kernels(tmp_path: Path) -> None:
    """They are 8-bit integers that use few of their numbers, so every int8 target takes them."""
    graph, plan = chosen(conv_relu_net(), recipe=Recipe(defaults=Rule(precision="w4a8")))
    shipped = TargetFolder(
        path=tmp_path / "o", target=TARGETS["onnxruntime"], deployment=Deployment()
    ).write(graph, plan)

    assert shipped.exported.facts["integer_kernels"]["by_op"]["Conv"] == [2, 2]
    refuse_unexportable(plan, TARGETS["onnxruntime"])


def test_four_bit_activations_are_simulated_and_not_exported(tmp_path: Path) -> None:
    graph, plan = chosen(conv_relu_net(), recipe=Recipe(defaults=Rule(precision="w4a4")))
    target = TARGETS["onnxruntime"]
    shipped = TargetFolder(path=tmp_path / "o", target=target, deployment=Deployment()).write(
        graph, plan
    )

    files = {p.name for p in (tmp_path / "o").iterdir()}
    assert files == {"plan.json", "simulated.onnx", "check.json"}
    assert not shipped.exported.files
    (finding,) = json.loads((tmp_path / "o" / "check.json").read_text())["findings"]
    assert (finding["saw"], finding["wanted"]) == ("w4a4", "int8")
    with pytest.raises(InputError) as error:
        refuse_unexportable(plan, target)
    assert str(error.value) == (
        "plan for 'onnxruntime': ONNX Runtime has kernels for int8, saw w4a4. Simulate it, or "
        "choose again with another precision."
    )


def test_a_tensor_that_all_see_has_the_finest_grid_that_one_of_them_wants() -> None:
    recipe = Recipe(rules=(Rule(match="conv2", precision="w4a4"),))
    _, plan = chosen(conv_relu_net(), recipe=recipe)
    bits = {n: t.format.bits for n, t in plan.tensors.items() if t.format is not None}

    assert (bits["input"], bits["b"], bits["w1"], bits["w2"]) == (8, 4, 8, 4)

"""Attention on every target: products with a weight in integers, other products float by default."""

from pathlib import Path

import numpy as np
import pytest

from quant.choose.planner import Planner
from quant.export.onnxruntime.write import write
from quant.graph.prepared_graph import Graph
from quant.plan.recipe import NOTHING, Recipe, Rule
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS
from tests import transformer_nets
from tests.chosen import inputs, prepared, profiled, quantized_names, run

SHORT = "a product of two activations gains little from integers"
ASKED = Recipe(defaults=Rule(products="on"))


@pytest.fixture(scope="module")
def seen() -> tuple[Graph, Profile]:
    graph = prepared(transformer_nets.vit("chains", blocks=1, outliers=0))
    return graph, profiled(graph)


def products(plan: Plan) -> dict[str, str]:
    """Return precision by name of the two products of attention."""
    names = ("node_b0_attn_qk", "node_b0_attn_av")
    return {name: plan.layers[name].precision for name in names}


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt", "atlas"])
def test_only_what_has_a_weight_is_quantized(seen: tuple[Graph, Profile], target: str) -> None:
    """LayerNorm, softmax, GELU, the residual stream and the products of attention stay float."""
    plan = Planner(target=TARGETS[target]).choose(*seen)
    integer = {x.op for x in plan.layers.values() if x.quantized}
    weighted = [x for x in plan.layers.values() if x.op == "MatMul" and "attn_q" in x.layer]
    read = {"b0_ln1", "b0_attn_flat", "b0_ln2", "b0_gelu", "input", "first"}

    assert integer <= {"Conv", "Gemm", "MatMul", "Reshape", "Transpose"}
    assert quantized_names(plan) >= read
    assert not any("softmax" in name or "_res" in name for name in quantized_names(plan))
    assert set(products(plan).values()) <= {"float32", "float16"}
    assert any(x.quantized for x in weighted)


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_products_of_attention_are_integer_where_the_recipe_says_so(
    seen: tuple[Graph, Profile], target: str
) -> None:
    plain, asked = (
        Planner(target=TARGETS[target], recipe=r).choose(*seen) for r in (NOTHING, ASKED)
    )
    grids = quantized_names(asked) - quantized_names(plain)

    assert {plain.layers[n].because for n in products(plain)} == {SHORT}
    assert set(products(asked).values()) == {"int8"}
    assert grids >= {"b0_attn_softmax", "b0_attn_qs", "b0_attn_k", "b0_attn_v"}
    assert "b0_attn_qk" not in grids, "the softmax reads floats"


def test_their_softmax_has_no_number_below_zero(seen: tuple[Graph, Profile]) -> None:
    plan = Planner(target=TARGETS["onnxruntime"], recipe=ASKED, observer="minmax").choose(*seen)
    params = plan.tensors["b0_attn_softmax"].params
    top = seen[1].tensors["b0_attn_softmax"].high

    assert params is not None
    assert int(params.arrays()["zero_point"]) == 0
    assert float(params.arrays()["scale"]) == pytest.approx(top / 255)


def test_atlas_has_no_kernel_for_them(seen: tuple[Graph, Profile]) -> None:
    """AMCT and ATC take a constant of two axes as second operand, and nothing else."""
    plan = Planner(target=TARGETS["atlas"], recipe=ASKED).choose(*seen)

    assert set(products(plan).values()) == {"float16"}


def test_onnx_runtime_has_an_integer_kernel_for_each(
    seen: tuple[Graph, Profile], tmp_path: Path
) -> None:
    """7 products with a weight, 2 without, and what it computes is what was simulated."""
    graph, profile = seen
    target = TARGETS["onnxruntime"]
    plan = Planner(target=target, recipe=ASKED).choose(graph, profile)
    nodes = write(graph, plan, tmp_path).facts["integer_kernels"]["nodes"]
    feeds = inputs(graph, 5)
    model = quantize_graph(graph, plan, target)
    (wanted,), (made,) = run(model, feeds), run(model, feeds, integer=True)

    kernels = ("QLinearMatMul", "MatMulIntegerToFloat", "MatMulInteger")
    assert sum(nodes.get(op, 0) for op in kernels) == 6 + 2
    assert np.abs(made - wanted).max() < 0.05 * np.abs(wanted).max()


def test_a_class_token_is_not_quantized_for_a_float_sum() -> None:
    """Its Concat with the patches would need a grid, and the position embedding behind reads floats."""
    graph = prepared(transformer_nets.vit("operators", blocks=1))
    plan = Planner(target=TARGETS["onnxruntime"]).choose(graph, profiled(graph))

    assert plan.layers["node_joined"].because == "its readers are float"
    assert not quantized_names(plan) & {"class", "joined"}


@pytest.mark.parametrize(
    "build", [transformer_nets.swin, transformer_nets.hybrid, transformer_nets.ocr]
)
def test_every_weight_is_integer_in_networks_with_windows_maps_and_lines(build: object) -> None:
    graph = prepared(build("operators"))  # type: ignore[operator]
    wide = 40 if build is transformer_nets.ocr else 16
    x = np.random.default_rng(0).normal(size=(2, 3, 16, wide)).astype(np.float32)
    profile = profiled(graph, {"input": x})
    weighted = {
        str(n.name)
        for n in graph.nodes
        if len(n.inputs) > 1
        and n.inputs[1] is not None
        and n.op_type in ("Conv", "Gemm", "MatMul")
        and n.inputs[1].is_initializer()
    }
    for target in ("onnxruntime", "tensorrt", "atlas"):
        plan = Planner(target=TARGETS[target]).choose(graph, profile)
        assert {n for n in weighted if not plan.layers[n].quantized} == set(), target

"""Smoothed channels compute the same, and a few large ones no longer take the grid of all others."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from quant.calibration.profiling.run_profile import profile
from quant.choose.planner import Planner
from quant.compare.batch import Batch
from quant.compare.float_reference import FloatReference
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session
from quant.improve.ladder import LadderInputs, recover_accuracy
from quant.improve.smooth_factors import ALPHAS, reader_statistics
from quant.improve.smooth_quant import kept_where_same, sites, smooth
from quant.plan.recipe import Recipe, Rule
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS
from tests import transformer_nets
from tests.chosen import batch_of, inputs, prepared, profiled, run
from tests.models import model

ORT = TARGETS["onnxruntime"]


def normed(dims: str = "N,5,8", more: str = "y = MatMul(a, w)", seed: int = 0) -> onnx.ModelProto:
    """Return LayerNorm with two large channels, and what reads it."""
    rng = np.random.default_rng(seed)
    gain = np.array([1, 1, 40, 1, 1, 1, 25, 1], np.float32)
    held = {
        "g": gain,
        "b": (gain * rng.normal(0, 0.3, 8)).astype(np.float32),
        "w": (rng.normal(size=(8, 4)) / gain[:, None]).astype(np.float32),
    }
    body = f"[norm] a = LayerNormalization(x, g, b)\n{more.replace(') ', ')' + chr(10))}"
    return model(f"g (float[{dims}] x) => (float[] y) {{ {body} }}", held)


def made(graph: Graph) -> tuple[Plan, list[Batch]]:
    """Return the plan for ONNX Runtime and the samples it was made on."""
    feeds = inputs(graph)
    return Planner(target=ORT, observer="minmax").choose(graph, profiled(graph, feeds)), [
        batch_of(feeds, 8)
    ]


def smoothed(
    graph: Graph, plan: Plan, batches: list[Batch], off: Collection[str] = ()
) -> Graph | None:
    """Return what SmoothQuant makes of a graph on these batches; no float session is needed."""
    reference = FloatReference(session=None, batches=batches)
    return smooth(graph, plan, ORT, reference, sites(graph, off=off))


def sqnr(wanted: NDArray[np.float32], seen: NDArray[np.float32]) -> float:
    power = [float(np.square(x, dtype=np.float64).sum()) for x in (wanted, wanted - seen)]
    return 10 * float(np.log10(power[0] / power[1]))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_factors_are_those_of_the_paper(alpha: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equation 4 in float64, by hand, for each of the exponents; their geometric mean is 1."""
    monkeypatch.setattr("quant.improve.smooth_factors.ALPHAS", (alpha,))
    graph = prepared(normed())
    plan, samples = made(graph)
    better = smoothed(graph, plan, samples)
    assert better is not None
    x = samples[0].feeds["x"].astype(np.float64)
    unit = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    top = np.abs(unit * graph.array("g") + graph.array("b")).max(axis=(0, 1))
    weights = np.abs(graph.array("w").astype(np.float64)).max(axis=1)
    s = top**alpha / weights ** (1 - alpha)
    s /= np.exp(np.log(s).mean())

    np.testing.assert_allclose(better.array("g"), graph.array("g") / s, rtol=1e-5)
    np.testing.assert_allclose(better.array("b"), graph.array("b") / s, rtol=1e-5)
    np.testing.assert_allclose(better.array("w"), graph.array("w") * s[:, None], rtol=1e-5)


@pytest.mark.parametrize("spelling", transformer_nets.SPELLINGS)
def test_outliers_behind_a_layernorm_no_longer_cost(spelling: str) -> None:
    graph = prepared(transformer_nets.vit(spelling, blocks=2))
    plan, samples = made(graph)
    better = smoothed(graph, plan, samples)
    assert better is not None
    feeds = inputs(graph, 7)
    (wanted,), (same,) = run(graph.model, feeds), run(better.model, feeds)
    found = []
    for one, its in ((graph, plan), (better, made(better)[0])):
        (seen,) = run(quantize_graph(one, its, ORT), feeds)
        found.append(sqnr(wanted, seen))

    np.testing.assert_allclose(same, wanted, rtol=0, atol=2e-4 * np.abs(wanted).max())
    assert found[1] > found[0] + 5
    assert better.fingerprint != graph.fingerprint


def test_channels_with_the_batch_on_another_axis_are_measured_along_the_last() -> None:
    """Tokens first, or the maps of a windowed network with channels last: no profile has these."""
    for dims, size in (("5,2,8", (5, 2, 8)), ("N,3,4,8", (2, 3, 4, 8))):
        graph = prepared(normed(dims))
        x = np.random.default_rng(2).normal(size=size).astype(np.float32)
        reader = next(n for n in graph.nodes if n.op_type == "MatMul")
        (data,) = run(graph.with_outputs([str(reader.inputs[0].name)]), {"x": x})  # type: ignore[union-attr]
        plan = Planner(target=ORT).choose(
            graph, profiled(graph, {"x": x[:1] if dims[0] == "5" else x})
        )
        route = [batch_of({"x": x}, len(x))]
        better = smoothed(graph, plan, route)

        assert better is not None
        assert np.ptp(np.log(np.abs(better.array("g")))) < np.ptp(np.log(np.abs(graph.array("g"))))
        assert data.shape[-1] == 8


def test_extremes_are_those_of_all_batches() -> None:
    graph = prepared(normed())
    (site,) = sites(graph)
    x = [inputs(graph, seed)["x"] for seed in (0, 1)]
    reference = FloatReference(session=None, batches=[batch_of({"x": a}, 8) for a in x])
    (seen,) = reader_statistics(graph, site.route.readers, reference).values()
    (data,) = run(graph.with_outputs(["a"]), {"x": np.concatenate(x)})

    np.testing.assert_allclose(seen.high, data.max(axis=(0, 1)), rtol=1e-6)
    np.testing.assert_allclose(seen.low, data.min(axis=(0, 1)), rtol=1e-6)
    assert seen.rows.shape == (80, 8)


@pytest.mark.parametrize(
    "more",
    [
        "c = Add(a, x) d = MatMul(a, w) e = MatMul(c, w) y = Add(d, e)",
        "c = MatMul(a, w) d = Exp(c) e = MatMul(a, w) y = Add(d, e)",
        "c = Gelu(a) y = MatMul(c, w)",
    ],
    ids=["read by a residual sum", "weight read twice", "behind a curve"],
)
def test_what_a_factor_would_change_is_left(more: str) -> None:
    text = more.replace("c = Gelu(a)", "f = Erf(a)\nc = Mul(a, f)")
    graph = prepared(normed(more=text))
    plan, samples = made(graph)

    assert smoothed(graph, plan, samples) is None


def test_a_scale_that_two_normalizations_share_stays_for_the_other() -> None:
    """Slimming joins equal constants, and gains of 1 are equal everywhere."""
    more = (
        "c = MatMul(a, w) d = LayerNormalization(x, g, b) e = ReduceMax<axes=[2]>(d) y = Add(c, e)"
    )
    proto = normed(more=more.replace("<axes=[2]>", "<keepdims=1>"))
    graph = prepared(proto)
    plan, samples = made(graph)
    better = smoothed(graph, plan, samples)
    assert better is not None
    feeds = inputs(graph, 3)

    np.testing.assert_allclose(
        run(better.model, feeds)[0], run(graph.model, feeds)[0], rtol=1e-4, atol=1e-4
    )
    assert np.array_equal(better.array("g"), graph.array("g"))


def test_what_is_switched_off_is_left() -> None:
    graph = prepared(normed())
    plan, samples = made(graph)
    reader = next(str(n.name) for n in graph.nodes if n.op_type == "MatMul")

    assert smoothed(graph, plan, samples, {"norm"}) is None
    assert smoothed(graph, plan, samples, {reader}) is None


def test_channels_that_only_float_layers_read_are_left() -> None:
    graph = prepared(normed())
    plan, samples = made(graph)
    layers = {k: replace(x, precision="float32") for k, x in plan.layers.items()}

    assert smoothed(graph, replace(plan, layers=layers), samples) is None


def test_a_dead_channel_keeps_its_numbers() -> None:
    graph = prepared(normed())
    array = graph.array("w").copy()
    array[3] = 0
    still = replace(graph, model=graph.clone())
    still.model.graph.initializers["w"].const_value = ir.tensor(array, name="w")
    plan, samples = made(still)
    better = smoothed(still, plan, samples)
    assert better is not None

    assert better.array("g")[3] == graph.array("g")[3]
    assert np.all(np.isfinite(better.array("w")))


def test_the_ladder_smooths_and_the_recipe_switches_it_off() -> None:
    graph = prepared(transformer_nets.vit("operators", blocks=1))
    feeds = inputs(graph, samples=48)["input"]
    batches = [batch_of({"input": feeds[i : i + 16]}, 16) for i in (0, 16, 32)]

    steps = []
    for said in ("on", "off"):
        defaults = Rule(smoothing=said, rounding="nearest", bias_correction="off")
        planner = Planner(target=ORT, recipe=Recipe(defaults=defaults), observer="minmax")
        session = open_session(graph.model, threads=1)
        ladder_inputs = LadderInputs(
            planner=planner,
            profile=profiled(graph, {"input": feeds}),
            reference=FloatReference(session=session, batches=batches, threads=1),
            pixels=None,
            profile_again=lambda edited, some: profile(edited, some, threads=1),
        )
        start = planner.plan(graph, ladder_inputs.profile)
        *_, last = recover_accuracy("balanced", graph, start, ladder_inputs)
        steps.append({rung.step: rung.kept for rung in last.rungs})

    assert steps[0]["smoothed"]
    assert set(steps[1]) == {"fast"}


def test_what_did_not_change_keeps_the_grid_of_all_samples() -> None:
    """The new profile is of fewer samples, and their narrower ranges would count against the step."""
    graph = prepared(transformer_nets.vit("chains", blocks=1))
    feeds = inputs(graph, samples=16)
    old = Planner(target=ORT, observer="minmax").choose(graph, profiled(graph, feeds))
    batches = [batch_of(feeds, 16)]
    better = smoothed(graph, old, batches)
    assert better is not None
    few = {"input": feeds["input"][:4]}
    new = Planner(target=ORT, observer="minmax").choose(better, profiled(better, few))
    moved = {name for site in sites(graph) for name in site.route.passed}
    plan = kept_where_same(graph, old, better, new, moved)

    for name in ("input", "patch", "b0_attn_flat", "b0_gelu", "patch_w", "b0_fc2_w"):
        assert plan.tensors[name] is old.tensors[name], name
    for name in ("b0_ln1", "b0_ln2", "b0_fc1_w", "b0_attn_ql_w", "head_w"):
        assert plan.tensors[name] is new.tensors[name], name
    assert plan.graph == better.fingerprint
    (wanted,), (made_,) = run(graph.model, few), run(quantize_graph(better, plan, ORT), few)
    assert sqnr(wanted, made_) > 15

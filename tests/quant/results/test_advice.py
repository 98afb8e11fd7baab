"""Advice: verdicts at their limits, shares of the noise, and rules for groups of layers."""

import math
from pathlib import Path
from typing import Any

import onnx
import pytest

from quant.analysis.layer_error import LayerError
from quant.observers import OBSERVERS
from quant.plan.recipe import Recipe, Rule, load_recipe
from quant.results.advice import actions, rating_of
from quant.results.layer_causes import noise_shares
from quant.results.saved_run import load_run
from tests import models
from tests.runs import make_run


def row(layer: str, isolated: float) -> LayerError:
    return LayerError(
        layer=layer,
        op="Conv",
        precision="int8",
        isolated_sqnr_db=isolated,
        cumulative_sqnr_db=20.0,
        cosine=0.99,
        weight_sqnr_db=40.0,
        saturation=0.0,
        macs=1,
        because="",
    )


@pytest.mark.parametrize(
    ("seen", "level", "words"),
    [
        (
            {"scores": {"top1": 0.79}, "float_scores": {"top1": 0.8}},
            "good",
            "top1 79.0 %, float 80.0 %",
        ),
        (
            {"scores": {"top1": 0.77}, "float_scores": {"top1": 0.8}},
            "fair",
            "top1 77.0 %, float 80.0 %",
        ),
        (
            {"scores": {"top1": 0.1}, "float_scores": {"top1": 0.8}},
            "bad",
            "top1 10.0 %, float 80.0 %",
        ),
        (
            {"scores": {"cosine": 0.95}, "float_scores": {"cosine": 1.0}},
            "fair",
            "cosine 95.0 %, cosine with float",
        ),
        ({"agreement": 0.97}, "good", "97.0 % same answers as float"),
        ({"agreement": 0.5, "sqnr_db": 40.0}, "bad", "50.0 % same answers as float"),
        ({"sqnr_db": 15.0}, "fair", "SQNR 15.0 dB"),
        ({}, "unknown", "nothing was measured"),
    ],
)
def test_a_verdict_rests_on_the_best_number_there_is(
    seen: dict[str, Any], level: str, words: str
) -> None:
    """Labels before agreement before SQNR."""
    found = rating_of({"simulated": seen})

    assert (found.level, found.words) == (level, words)


def test_shares_of_the_noise_add_to_one() -> None:
    """Ten decibels are a factor of ten; what loses nothing has no part."""
    rows = [
        row("a", 20.0),
        row("b", 30.0),
        row("c", math.inf),
        row("d", math.nan),
    ]
    found = noise_shares(rows)

    assert found == pytest.approx({"a": 10 / 11, "b": 1 / 11, "c": 0.0})
    assert noise_shares([row("c", math.inf)]) == {"c": 0.0}
    assert noise_shares([]) == {}


def test_layers_with_one_cause_get_one_recipe(tmp_path: Path) -> None:
    """A rule a layer, in one piece that can be pasted, and for the right target."""
    bad = Recipe(rules=(Rule(op="Conv", weights="per-tensor"),))
    net = models.depthwise_net()
    for tensor in net.graph.initializer:
        if tensor.name in ("w1", "w2"):
            array = onnx.numpy_helper.to_array(tensor).copy()
            array[0] *= 60
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    saved = load_run(make_run(tmp_path / "run", net, recipe=bad))
    first = actions(saved.targets[0], only="onnxruntime")[0]
    path = tmp_path / "cure.toml"
    path.write_text(first.recipe, encoding="utf-8")
    rules = load_recipe(path, list(OBSERVERS)).rules

    assert first.kind == "weight-scale"
    assert first.remedy == 'weights = "per-channel"'
    assert {r.match for r in rules} == set(first.layers)
    assert {r.target for r in rules} == {"onnxruntime"}
    assert sum(a.share for a in actions(saved.targets[0])) == pytest.approx(1.0, abs=0.02)


def test_a_layer_with_much_of_all_noise_has_one_cause_everywhere(tmp_path: Path) -> None:
    """The advice, the table and the layer's own panel read the same causes."""
    saved = load_run(make_run(tmp_path / "run", models.depthwise_net()))
    target = saved.targets[0]
    shares = noise_shares(target.rows)
    for action in actions(target):
        for name in action.layers:
            assert target.causes[name][0].kind == action.kind
    plain = [n for n, found in target.causes.items() if found and found[0].kind == "rounding"]

    assert all(shares[n] < 0.1 or target.causes[n][0].key for n in plain if n in shares)

"""The bias of a product of tokens stands in the Add behind it, and is corrected there."""

import numpy as np
import pytest

from quant.graph.layers import bias_place
from quant.graph.prepared_graph import Graph
from quant.improve.fit.layer_fit import fit_layers
from quant.plan.recipe import Recipe, Rule
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS
from tests.chosen import chosen, inputs, prepared, run
from tests.models import model, weights

TOKENS = """g (float[N,7,6] x) => (float[N,7,5] y) {{
    [mm] a = MatMul(x, w)
    {}
}}"""


def net(rest: str, **shapes: tuple[int, ...]) -> Graph:
    return prepared(model(TOKENS.format(rest), weights(0, w=(6, 5), **shapes)))


def place(graph: Graph) -> tuple[str, int] | None:
    found = bias_place(next(n for n in graph.nodes if n.name == "mm"))
    return (str(found[0].name), found[1]) if found is not None else None


def test_where_a_bias_stands() -> None:
    assert place(net("[add] y = Add(a, b)", b=(5,))) == ("add", 1)
    assert place(net("[add] y = Add(b, a)", b=(1, 1, 5))) == ("add", 0)


@pytest.mark.parametrize(
    ("rest", "shapes"),
    [
        ("[add] y = Add(a, b)", {"b": (7, 5)}),
        ("[add] y = Add(a, b)", {"b": (1,)}),
        ("[sub] y = Sub(a, b)", {"b": (5,)}),
        ("[add] c = Add(a, b)\n[more] y = Add(c, a)", {"b": (5,)}),
        ("[add] c = Add(a, b)\n[more] y = Mul(c, b)", {"b": (5,)}),
    ],
    ids=["a number a token", "one number", "taken off", "the product is read twice", "b is"],
)
def test_what_is_no_bias(rest: str, shapes: dict[str, tuple[int, ...]]) -> None:
    assert place(net(rest, **shapes)) is None


def shifted() -> dict[str, np.ndarray]:
    """Return samples that are far from zero on the average, as behind a GELU."""
    rng = np.random.default_rng(3)
    return {"x": (rng.normal(size=(64, 7, 6)) + 3).astype(np.float32)}


@pytest.mark.parametrize("rest", ["[add] y = Add(a, b)", "[end] y = Identity(a)"])
def test_a_fitted_product_keeps_its_mean(rest: str) -> None:
    """Integers that were fitted beside a bias which is not there left the mean error in the output."""
    proto = model(TOKENS.format(rest), weights(0, w=(6, 5), b=(5,)))
    rule = Rule(precision="w4a8")
    graph, plan = chosen(proto, recipe=Recipe(defaults=rule))
    feeds = shifted()
    (wanted,) = run(graph.model, feeds)
    fitted, its = fit_layers(graph, plan, feeds)
    off = []
    for one, of in ((graph, plan), (fitted, its)):
        (made,) = run(quantize_graph(one, of, TARGETS["onnxruntime"]), feeds)
        off.append(np.abs((made - wanted).mean(axis=(0, 1))).max())

    assert inputs(graph)["x"].shape == (8, 7, 6)
    assert off[1] < off[0] / 3
    if "Add" in rest:
        assert off[1] < 1e-4
        assert not np.array_equal(fitted.array("b"), graph.array("b"))

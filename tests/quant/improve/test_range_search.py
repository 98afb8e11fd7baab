"""Ranges by the error at the outputs: what was planted is found, and nothing else moves."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.compare.float_reference import FloatReference
from quant.formats.number_format import Integer
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session
from quant.improve.range_search import search_ranges
from quant.plan.recipe import Recipe, Rule
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS
from tests.chosen import batch_of, chosen, inputs, run
from tests.models import depthwise_net, residual_net


def widened(plan: Plan, name: str, factor: float) -> Plan:
    """Return the plan with a range several times as wide as it need be."""
    tensor = plan.tensors[name]
    assert isinstance(tensor.format, Integer)
    low, high = tensor.format.grid_range(tensor.params)
    params = tensor.format.parameters(low * factor, high * factor)
    return replace(plan, tensors={**plan.tensors, name: replace(tensor, params=params)})


def reference(graph: Graph, feeds: Mapping[str, NDArray[Any]]) -> FloatReference:
    session = open_session(graph.model, threads=1)
    return FloatReference(session=session, batches=[batch_of(feeds, 16)], threads=1)


def alone(plan: Plan, *names: str) -> Plan:
    """Return the plan with no other grids of activations: theirs would hide the error of these."""
    tensors = {
        k: t if t.kind == "weight" or t.tensor in names else replace(t, format=None, params=None)
        for k, t in plan.tensors.items()
    }
    return replace(plan, tensors=tensors)


def test_a_range_that_is_too_wide_is_found() -> None:
    target = TARGETS["onnxruntime"]
    graph, plan = chosen(residual_net())
    feeds = inputs(graph, 0, 16)
    wide = alone(widened(plan, "d", 24.0), "b", "d")
    found = search_ranges(graph, wide, target, reference(graph, feeds), {"b"})
    assert found is not None
    (wanted,) = run(graph.model, feeds)

    def off(one: Plan) -> float:
        (made,) = run(quantize_graph(graph, one, target, weight_form="integer"), feeds)
        return float(((made - wanted).astype(np.float64) ** 2).sum())

    assert off(found) < off(wide)
    old, new = (p.tensors["d"].params for p in (wide, found))
    assert new.scale < 0.75 * old.scale  # type: ignore[union-attr]
    assert found.tensors["b"] == wide.tensors["b"], "it was to stay"
    assert all(found.tensors[n] == t for n, t in wide.tensors.items() if t.kind == "weight")
    assert found.tensors["d"].because.endswith("; range searched at outputs")


def test_ranges_of_four_bits_are_searched_too() -> None:
    """With 16 numbers the right range is worth most; held-out samples must gain by it."""
    target = TARGETS["onnxruntime"]
    graph, plan = chosen(residual_net(), recipe=Recipe(rules=(Rule(precision="w4a4"),)))
    assert {t.format.name for t in plan.quantized if t.kind == "activation"} == {"uint4"}  # type: ignore[union-attr]
    found = search_ranges(graph, plan, target, reference(graph, inputs(graph, 0, 16)))

    assert found is not None
    held_out = inputs(graph, 1, 64)
    (wanted,) = run(graph.model, held_out)

    def off(one: Plan) -> float:
        (made,) = run(quantize_graph(graph, one, target, weight_form="integer"), held_out)
        return float(((made - wanted).astype(np.float64) ** 2).sum())

    assert off(found) < off(plan)
    assert [k for k, t in found.tensors.items() if t.params != plan.tensors[k].params]


def test_the_search_measures_the_plan_that_it_returns() -> None:
    """At four bits a bias on the grid of input and weight moves with the input's range."""
    target = TARGETS["onnxruntime"]
    graph, plan = chosen(depthwise_net(), recipe=Recipe(rules=(Rule(precision="w4a4"),)))
    feeds = inputs(graph, 0, 16)
    found = search_ranges(graph, plan, target, reference(graph, feeds))
    assert found is not None
    (wanted,) = run(graph.model, feeds)

    def off(one: Plan) -> float:
        (made,) = run(quantize_graph(graph, one, target, weight_form="integer"), feeds)
        return float(((made - wanted).astype(np.float64) ** 2).sum())

    assert off(found) < 0.9 * off(plan)

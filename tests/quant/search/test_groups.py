"""Groups: which layers change their precision together, by hand on small networks."""

import onnx
import pytest

from quant.choose.precisions import precisions
from quant.graph.prepared_graph import Graph
from quant.plan.recipe import NOTHING
from quant.plan.tensor_plans import Plan
from quant.search.groups import groups_of, merged, shared_tensors
from quant.target.table import TARGETS
from tests.chosen import chosen, prepared
from tests.models import concat_net, depthwise_net, model, residual_net, weights


def grouped(proto: onnx.ModelProto, target: str) -> list[set[str]]:
    graph = prepared(proto)
    plans = precisions(graph.layers, TARGETS[target], NOTHING, frozenset(graph.activations))
    return [set(group.layers) for group in groups_of(graph, plans)]


def chain() -> onnx.ModelProto:
    """A pool behind the first convolution, a Sigmoid gate, and a Concat of two branches."""
    return model(
        """g (float[N,4,8,8] input) => (float[N,8,4,4] output) {
            [first] a = Conv<pads = [1, 1, 1, 1]>(input, w1)
            [pool] b = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(a)
            [left] c = Conv(b, w2)
            [right] d = Conv(b, w3)
            [join] e = Concat<axis = 1>(c, d)
            [last] output = Conv(e, w4)
        }""",
        weights(1, w1=(4, 4, 3, 3), w2=(4, 4, 1, 1), w3=(4, 4, 1, 1), w4=(8, 8, 1, 1)),
    )


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_siblings_of_a_concat_and_a_pool_behind_its_convolution_move_together(target: str) -> None:
    assert grouped(chain(), target) == [{"first", "pool"}, {"left", "right", "join"}, {"last"}]


def test_a_chip_without_an_integer_concat_has_a_group_for_each_convolution() -> None:
    assert grouped(chain(), "atlas") == [{"first"}, {"left"}, {"right"}, {"last"}]


def test_what_adds_up_in_a_residual_block_moves_together() -> None:
    graph = prepared(residual_net())
    (adds,) = [x for x in graph.layers if x.op == "Add"]
    made = {str(v.name): x.name for x in graph.layers for v in x.outputs}
    feeding = {made[str(v.name)] for v in adds.data if str(v.name) in made}
    found = next(g for g in grouped(residual_net(), "onnxruntime") if adds.name in g)

    assert feeding <= found


def test_every_integer_layer_is_in_one_group_and_no_float_one_is() -> None:
    for net in (residual_net, concat_net, depthwise_net):
        graph, plan = chosen(net(), "onnxruntime")
        found = groups_of(graph, plan.layers)
        inside = [name for group in found for name in group.layers]

        assert sorted(inside) == sorted(n for n, p in plan.layers.items() if p.quantized)


def test_a_layer_that_is_not_named_is_in_no_group() -> None:
    """What a recipe decides is left out, and does not come in by way of its neighbours."""
    graph, plan = chosen(chain(), "onnxruntime")
    some = {name: p for name, p in plan.layers.items() if name != "join"}

    assert [set(g.layers) for g in groups_of(graph, some)] == [
        {"first", "pool"},
        {"left"},
        {"right"},
        {"last"},
    ]


def test_merging_joins_the_neighbours_that_compute_least() -> None:
    graph, plan = chosen(chain(), "onnxruntime")
    every = groups_of(graph, plan.layers)
    macs = {g.name: g.macs for g in every}
    (one, other) = merged(every, 2, graph)

    # by hand: first 64 * 4 * 36 = 9216; left and right 16 * 16 * 2 = 512; last 16 * 64 = 1024
    assert macs == {"first": 9216, "left": 512, "last": 1024}
    assert (set(one.layers), one.macs) == ({"first", "pool"}, 9216)
    assert (set(other.layers), other.macs) == ({"left", "right", "join", "last"}, 1536)
    assert [set(g.layers) for g in merged(every, 1, graph)] == [
        {"first", "pool", "left", "right", "join", "last"}
    ]


def between_groups(graph: Graph, plan: Plan, target: str) -> dict[str, tuple[str, ...]]:
    groups = groups_of(graph, plan.layers)
    found = shared_tensors(graph, TARGETS[target], groups, [plan])
    return {" ".join(b.tensors): tuple(groups[g].name for g in b.groups) for b in found}


def test_a_tensor_that_two_groups_read_stands_between_them() -> None:
    graph, plan = chosen(chain(), "onnxruntime")

    # `b`, a view of `a`, is read by both branches, `e` is written by the Concat and read by
    # `last`; `input` is the first group's own affair
    assert between_groups(graph, plan, "onnxruntime") == {
        "a b": ("first", "left"),
        "e": ("left", "last"),
    }


def test_nothing_stands_between_groups_where_each_reader_has_its_own_quantizer() -> None:
    graph, plan = chosen(chain(), "tensorrt")

    assert between_groups(graph, plan, "tensorrt") == {}

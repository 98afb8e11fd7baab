"""Head and tail, one after the other, compute the whole network, bit for bit."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from quant.export.caffe.cut import cut_tail
from quant.graph.prepared_graph import Graph
from tests.chosen import prepared, run
from tests.export.caffe.test_nets import detector_net
from tests.models import model, weights


def named(ir_model: ir.Model, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    names = [str(v.name) for v in ir_model.graph.outputs]
    return dict(zip(names, run(ir_model, feeds), strict=True))


def behind_each_other(
    head: Graph, tail: ir.Model, feeds: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    known = {**feeds, **named(head.model, feeds)}
    return {**known, **named(tail, {str(v.name): known[str(v.name)] for v in tail.graph.inputs})}


def ops(ir_model: ir.Model) -> list[str]:
    return [node.op_type for node in ir_model.graph]


def test_a_detector_is_cut_behind_the_last_convolutions_of_its_head() -> None:
    """The Permute and Reshape that lead to the refused Softmax go with it."""
    whole = prepared(detector_net())
    cut = cut_tail(whole, {"soft"})
    assert cut is not None
    head, tail = cut
    feeds = {"input": np.random.default_rng(0).normal(size=(1, 3, 24, 32)).astype(np.float32)}
    outputs = behind_each_other(head, tail, feeds)

    assert [v.name for v in head.outputs] == ["s1", "s2", "boxes"]
    assert [v.name for v in tail.graph.inputs] == ["s1", "s2"]
    assert sorted(ops(tail)) == [
        "Concat",
        "Reshape",
        "Reshape",
        "Softmax",
        "Transpose",
        "Transpose",
    ]
    for name, want in named(whole.model, feeds).items():
        assert np.array_equal(outputs[name], want)
    onnx.checker.check_model(ir.to_proto(tail))


def anchored_net() -> onnx.ModelProto:
    """Return a head whose tail needs a shape, an inner tensor twice and the network's input."""
    return model(
        """g (float[N,3,H,W] input) => (float[N,4,H,W] output, float[N,4,H,W] other) {
            [c1] a = Conv(input, w1)
            [r1] b = Relu(a)
            [c2] other = Conv(b, w2)
            [shape] s = Shape(input)
            [size] t = Cast<to=1>(s)
            [last] u = Gather<axis=0>(t, three)
            [div] d = Div(other, u)
            [erf] e = Erf(d)
            [sum] f = Add(e, b)
            [mean] m = ReduceMean<axes=[1]>(input)
            [out] output = Mul(f, m)
        }""",
        {**weights(0, w1=(4, 3, 1, 1), w2=(4, 4, 1, 1)), "three": np.array(3)},
    )


def test_what_the_tail_needs_of_the_middle_and_of_the_input_reaches_it() -> None:
    """Shapes are constants of the tail; the input is fed to it anew."""
    whole = prepared(anchored_net())
    cut = cut_tail(whole, {"erf"}, {"input": (3, 6, 5)})
    assert cut is not None
    head, tail = cut
    feeds = {"input": np.random.default_rng(0).normal(size=(1, 3, 6, 5)).astype(np.float32)}
    outputs = behind_each_other(head, tail, feeds)

    assert "Shape" not in [*ops(head.model), *ops(tail)]
    assert {v.name for v in tail.graph.inputs} <= {"b", "d", "m", "input", "other"}
    assert [v.name for v in tail.graph.outputs] == ["output"]
    for name, want in named(whole.model, feeds).items():
        assert np.array_equal(outputs[name], want)


def test_a_shape_that_stays_unknown_is_computed_in_the_tail() -> None:
    """Without sizes a tail may still need one; no integer ever leaves the chip."""
    proto = model(
        """g (float[1,3,H,W] input) => (float[1,4,P] output) {
            [c1] a = Conv(input, w)
            [erf] e = Erf(a)
            [shape] s = Shape(a)
            [two] t = Slice(s, zero, two)
            [to] u = Concat<axis=0>(t, rest)
            [flat] output = Reshape(e, u)
        }""",
        {
            **weights(0, w=(4, 3, 1, 1)),
            "zero": np.array([0]),
            "two": np.array([2]),
            "rest": np.array([-1]),
        },
    )
    cut = cut_tail(Graph(ir.from_proto(proto), "net"), {"erf"})
    assert cut is not None
    head, tail = cut

    assert [v.name for v in head.outputs] == ["a"]
    assert [v.name for v in tail.graph.inputs] == ["a"]


def test_the_graph_is_left_as_it_was_and_the_cut_is_the_same_each_time() -> None:
    whole = prepared(detector_net())
    before = whole.fingerprint
    first, second = cut_tail(whole, {"soft"}), cut_tail(whole, {"soft"})
    assert first is not None
    assert second is not None

    assert Graph(whole.model, "again").fingerprint == before
    assert first[0].fingerprint == second[0].fingerprint
    assert ir.to_proto(first[1]).SerializeToString() == ir.to_proto(second[1]).SerializeToString()


def test_a_layer_with_weights_behind_the_refused_node_forbids_the_cut() -> None:
    """The chip would have nothing of the rest: such a node must become a Custom layer."""
    assert cut_tail(prepared(detector_net()), {"relu1"}) is None


def test_nothing_to_cut_and_nothing_left_are_no_cut() -> None:
    assert cut_tail(prepared(detector_net()), set()) is None
    assert cut_tail(prepared(detector_net()), {"no such node"}) is None

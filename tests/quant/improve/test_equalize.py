"""Equalized channels compute the same, and have the same range on both sides."""

import numpy as np
import onnx_ir as ir
import pytest

from quant.graph.prepared_graph import Graph
from quant.improve.equalize import equalize
from tests.chosen import inputs, prepared, profiled, run
from tests.models import concat_net, conv_relu_net, depthwise_net


def uneven(build: object, *names: str) -> Graph:
    """Return a net whose channels differ a hundredfold."""
    proto = build()  # type: ignore[operator]
    for initializer in proto.graph.initializer:
        if initializer.name in names:
            raw = np.frombuffer(initializer.raw_data, np.float32).reshape(initializer.dims)
            by = np.geomspace(0.01, 1, raw.shape[0]).astype(np.float32)
            array = raw * by.reshape(-1, *[1] * (raw.ndim - 1))
            initializer.raw_data = array.tobytes()
    return prepared(proto)


def test_relu_keeps_the_function_and_the_ranges_meet() -> None:
    graph = uneven(conv_relu_net, "w1", "b1")
    better = equalize(graph, profiled(graph))
    assert better is not None
    feeds = inputs(graph, 7)
    (wanted,), (made,) = run(graph.model, feeds), run(better.model, feeds)
    r1 = np.abs(better.array("w1")).max(axis=(1, 2, 3))
    r2 = np.abs(better.array("w2")).max(axis=(0, 2, 3))

    np.testing.assert_allclose(made, wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(r1, r2, rtol=1e-3)
    assert better.fingerprint != graph.fingerprint


def test_a_clip_is_never_reached_by_a_channel_that_was_below_it() -> None:
    """On samples of the profile the function is the same to the last digits."""
    graph = uneven(depthwise_net, "w1", "b1", "w2", "b2")
    feeds = {k: 20 * v for k, v in inputs(graph, 0).items()}  # so that some come near it
    better = equalize(graph, profiled(graph, feeds))
    assert better is not None
    (wanted,), (made,) = run(graph.model, feeds), run(better.model, feeds)

    np.testing.assert_allclose(made, wanted, rtol=1e-4, atol=1e-4)
    before, after = (np.abs(g.array("w2")).max(axis=(1, 2, 3)) for g in (graph, better))
    assert np.ptp(np.log(after)) < np.ptp(np.log(before))


def test_pairs_with_a_clip_can_be_left_out() -> None:
    graph = uneven(depthwise_net, "w1", "b1")

    assert equalize(graph, profiled(graph), clips=False) is None


def test_a_layer_that_is_switched_off_keeps_its_weights() -> None:
    graph = uneven(conv_relu_net, "w1", "b1")

    assert equalize(graph, profiled(graph), {"conv2"}) is None
    assert equalize(graph, profiled(graph), {"conv1"}) is None


def test_channels_that_a_concat_reads_are_left() -> None:
    graph = prepared(concat_net())

    assert equalize(graph, profiled(graph)) is None


@pytest.mark.parametrize("name", ["w1", "w2"])
def test_a_dead_channel_is_left(name: str) -> None:
    graph = prepared(conv_relu_net())
    model = graph.clone()
    array = graph.array(name).copy()
    if name == "w1":
        array[0] = 0
    else:
        array[:, 0] = 0
    model.graph.initializers[name].const_value = ir.tensor(array, name=name)
    dead = Graph(model, "dead")
    better = equalize(dead, profiled(dead))
    assert better is not None

    assert np.all(np.isfinite(better.array(name)))
    assert np.array_equal(better.array("w1")[0], dead.array("w1")[0])

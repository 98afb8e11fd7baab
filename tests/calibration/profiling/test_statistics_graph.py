"""The channel axis: last where layers of tokens read a tensor, second where a convolution does."""

import numpy as np
import onnx

from quant.calibration.profiling.statistics_graph import channel_axis
from tests.chosen import prepared, profiled
from tests.models import model, weights


def mixed() -> onnx.ModelProto:
    """Return a product over the last axis of a map, and a convolution behind a Transpose."""
    return model(
        """g (float[N,4,4,6] input) => (float[N,3,4,4] output, float[N,4,4,5] other) {
            m = MatMul(input, w)
            a = Add(m, c)
            e = Exp(a)
            t = Transpose<perm=[0,3,1,2]>(e)
            other = Sin(e)
            output = Conv(t, k)
        }""",
        weights(0, w=(6, 5), c=(5,), k=(3, 5, 1, 1)),
    )


def test_maps_with_channels_last_are_seen_along_them() -> None:
    """A windowed transformer has maps [N, H, W, C]; extremes along H would say nothing of them."""
    graph = prepared(mixed())
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 6)).astype(np.float32)
    x[..., 2] *= 50
    seen = profiled(graph, {"input": x}).tensors["input"]
    axes = {n: channel_axis(graph.values[n]) for n in ("input", "m", "a", "t", "output")}

    assert axes == {"input": 3, "m": 3, "a": 3, "t": 1, "output": 1}
    np.testing.assert_array_equal(seen.channel_high, x.max(axis=(0, 1, 2)))
    np.testing.assert_array_equal(seen.channel_low, x.min(axis=(0, 1, 2)))


def test_tokens_have_their_channels_last_whatever_comes_first() -> None:
    """[N, T, C] and [T, N, C] alike; heads [N, H, T, d] have theirs on axis 1."""
    for dims in ("N,7,6", "7,N,6"):
        graph = prepared(
            model(
                f"g (float[{dims}] x) => (float[] y) {{ y = MatMul(x, w) }}", weights(0, w=(6, 5))
            )
        )
        assert channel_axis(graph.values["x"]) == 2
    graph = prepared(
        model(
            """g (float[N,2,7,7] x, float[N,7,6] z) => (float[] y, float[] v) {
                a = Softmax<axis=-1>(x)
                y = MatMul(a, x)
                v = MatMul(z, w)
            }""",
            weights(0, w=(6, 5)),
        )
    )
    assert channel_axis(graph.values["a"]) == 1

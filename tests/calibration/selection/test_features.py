"""Features are what numpy takes from the raw activations, whatever the network and the batch."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from quant.calibration.profiling.run_profile import profile
from quant.calibration.profiling.statistics_graph import with_statistics
from quant.calibration.selection.features import (
    DEPTHS,
    FLAT_ELEMENTS,
    MIN_CHANNELS,
    THUMBNAIL_SIDE,
    FeatureHook,
    Features,
    thumbnails,
)
from quant.graph.prepared_graph import Graph
from tests.calibration.profiling.test_run_profile import images, packed, prepared, raw
from tests.models import conv_relu_net, depthwise_net, gemm_net, model, residual_net, weights

NETS = pytest.mark.parametrize("net", [conv_relu_net, residual_net, depthwise_net, gemm_net])


def watched(graph: Graph, samples: list) -> Features:
    watch = FeatureHook(
        [str(v.name) for v in graph.inputs], [str(v.name) for v in graph.model.graph.outputs]
    )
    name = str(graph.inputs[0].name)
    profile(graph, packed(samples, with_statistics(graph).batch, name), threads=1, hook=watch)
    return watch.result()


def samples_of(graph: Graph, count: int) -> list:
    shape = tuple(int(d) for d in graph.inputs[0].shape[1:])
    return images(count, shape)


@NETS
def test_features_are_means_and_extremes_of_the_raw_activations(
    net: object, tmp_path: Path
) -> None:
    """An independent session gives every activation; the last batch is padded."""
    graph = prepared(net(), tmp_path)
    samples = samples_of(graph, 19)
    found, whole = watched(graph, samples), raw(graph, samples)
    inputs = {str(v.name) for v in graph.inputs}
    outputs = {str(v.name) for v in graph.model.graph.outputs}

    assert found.keys == tuple(key for key, _ in samples)
    assert found.finite.all()
    for name, x in found.groups.items():
        assert len(x) == 19
        if name == "ranges":
            low = [[w[i].min() for w in whole.values()] for i in range(19)]
            high = [[w[i].max() for w in whole.values()] for i in range(19)]
            want = np.concatenate([low, high], axis=1)
            np.testing.assert_allclose(x, want, rtol=2e-5, atol=5e-6)
            continue
        tensor = next(iter(inputs)) if name == "input" else name.removeprefix("depth ")
        rows = [w.reshape(w.shape[1], -1).astype(np.float64) for w in whole[tensor]]
        mean, low, high = (
            np.array([f(r, axis=1) for r in rows]) for f in (np.mean, np.min, np.max)
        )
        want = (mean, low, high) if name == "input" else (mean, high)
        np.testing.assert_allclose(x, np.concatenate(want, axis=1), rtol=2e-5, atol=5e-6)
    depths = [n.removeprefix("depth ") for n in found.groups if n.startswith("depth ")]
    assert 1 <= len(depths) <= len(DEPTHS)
    assert not set(depths) & (inputs | outputs)
    assert all(whole[n][0].shape[1] >= MIN_CHANNELS for n in depths)


def test_a_sample_with_nan_is_distinguished_from_the_others(tmp_path: Path) -> None:
    """It would otherwise turn every distance into NaN."""
    graph = prepared(conv_relu_net(), tmp_path)
    samples = samples_of(graph, 5)
    samples[3][1][0, 2, 2] = np.nan
    found = watched(graph, samples)

    assert found.finite.tolist() == [True, True, True, False, True]


def test_what_is_infinite_in_every_sample_is_no_feature(tmp_path: Path) -> None:
    """Attention masks are so; all samples would count as broken."""
    text = """g (float[N,3,16,16] x) => (float[N,8,16,16] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1, b1)
        far = Constant<value = float[1] {-1e38}>()
        b = Mul(a, far)
        c = Mul(b, far)
        y = Relu(a)
        z = Relu(c)
    }""".replace("(float[N,8,16,16] y)", "(float[N,8,16,16] y, float[N,8,16,16] z)")
    graph = prepared(model(text, weights(0, w1=(8, 3, 3, 3), b1=(8,))), tmp_path)
    samples = [(key, x + 5) for key, x in samples_of(graph, 6)]
    found = watched(graph, samples)

    assert found.finite.sum() >= 3
    assert all(np.isfinite(x[found.finite]).all() for x in found.groups.values())


def test_a_thumbnail_is_the_mean_of_what_falls_into_each_pixel() -> None:
    """By hand, for a side that 16 divides and one that it does not; both layouts."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 32, 40)).astype(np.float32)
    edges = [int(i * 40 / THUMBNAIL_SIDE) for i in range(THUMBNAIL_SIDE + 1)]
    want = np.stack([x[:, :, :, a:b].mean(axis=3) for a, b in pairwise(edges)], axis=3)
    want = want.reshape(2, 3, THUMBNAIL_SIDE, 2, THUMBNAIL_SIDE).mean(axis=3)

    found = thumbnails({"x": x})
    np.testing.assert_allclose(found, want.reshape(2, -1), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(thumbnails({"x": x.transpose(0, 2, 3, 1)}), found)


def test_thumbnails_have_one_width_whatever_the_sizes() -> None:
    """Pictures of any size, few pixels, many channels, sequences, and numbers."""
    for shapes in (
        [(2, 3, 8, 9), (2, 3, 300, 20)],
        [(2, 32, 16, 16), (2, 32, 40, 8)],
        [(2, 7), (2, 5000)],
        [(2, 10, 4), (2, 900, 4)],
    ):
        widths = {
            thumbnails({"x": np.ones(shape, np.float32), "n": np.ones((2, 1), np.int64)}).shape
            for shape in shapes
        }
        assert len(widths) == 1
        rows, width = widths.pop()
        assert rows == 2
        assert FLAT_ELEMENTS < width <= FLAT_ELEMENTS + 4 * THUMBNAIL_SIDE**2

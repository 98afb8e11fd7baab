"""Factors on channels go through a network as the numbers do: ONNX Runtime gives the same outputs."""

from math import prod

import numpy as np
import pytest

from quant.improve.smooth_quant import scaled, sites
from tests import transformer_nets
from tests.chosen import prepared, run
from tests.models import model, normal

EXACT = 1e-5
"""Of the greatest output: two float32 networks with the same function and other numbers."""

BUILDERS = [
    (build, spelling)
    for build in (
        transformer_nets.vit,
        transformer_nets.swin,
        transformer_nets.hybrid,
        transformer_nets.ocr,
    )
    for spelling in transformer_nets.SPELLINGS
]


@pytest.mark.parametrize(("build", "spelling"), BUILDERS)
def test_any_factors_leave_a_transformer_the_same(build: object, spelling: str) -> None:
    """Heads, windows, rolls and split products of q, k and v: what is off by one row shows here."""
    graph = prepared(build(spelling, outliers=0))  # type: ignore[operator]
    rng = np.random.default_rng(1)
    wide = 40 if build is transformer_nets.ocr else 16
    feeds = {"input": rng.normal(size=(2, 3, 16, wide)).astype(np.float32)}
    (wanted,) = run(graph.model, feeds)
    for linear in (False, True):
        found = sites(graph, linear=linear)
        moved = []
        for site in found:
            s = rng.uniform(0.25, 4, site.count)
            s[list(site.route.stuck)] = 1
            moved.append((site, s))
        (made,) = run(scaled(graph, moved).model, feeds)

        assert found, linear
        assert np.abs(made - wanted).max() < 20 * EXACT * np.abs(wanted).max(), linear


def test_every_normalization_before_products_is_found() -> None:
    """The last one is read through a Gather of the class token."""
    for spelling in transformer_nets.SPELLINGS:
        found = sites(prepared(transformer_nets.vit(spelling, blocks=2)))

        assert len(found) == 5, spelling
        readers = [len(site.route.readers) for site in found]
        assert readers == ([3, 1, 3, 1, 1] if spelling == "chains" else [1] * 5)


def test_of_a_product_of_q_k_and_v_only_the_values_are_free() -> None:
    """The others meet in a softmax, which a factor changes."""
    graph = prepared(transformer_nets.vit("operators", blocks=1, dim=32))
    (site,) = sites(graph, linear=True)

    assert site.count == 96
    assert site.route.stuck == set(range(64))


FOUR, THREE = (2, 6, 4, 4), (2, 5, 6)
"""Shapes of the data: 6 channels on axis 1, or on the last."""

WAYS = [
    (THREE, "y = MatMul(a, w)", {"w": (6, 3)}, 6),
    (THREE, "b = Relu(a) y = MatMul(b, w)", {"w": (6, 3)}, 6),
    (THREE, "b = Softmax(a) y = MatMul(b, w)", {"w": (6, 3)}, 0),
    (THREE, "b = Add(a, c) y = MatMul(b, w)", {"c": (6,), "w": (6, 3)}, 6),
    (THREE, "b = Sub(c, a) y = MatMul(b, w)", {"c": (1, 1, 6), "w": (6, 3)}, 6),
    (THREE, "b = Add(a, c) y = MatMul(b, w)", {"c": (), "w": (6, 3)}, 6),
    (THREE, "b = Add(a, x) y = MatMul(b, w)", {"w": (6, 3)}, 0),
    (THREE, "b = Add(a, a) y = MatMul(b, w)", {"w": (6, 3)}, 6),
    (THREE, "b = Mul(a, x) y = MatMul(b, w)", {"w": (6, 3)}, 6),
    (THREE, "b = Mul(a, a) y = MatMul(b, w)", {"w": (6, 3)}, 0),
    (THREE, "b = Div(a, c) y = MatMul(b, w)", {"c": (6,), "w": (6, 3)}, 6),
    (THREE, "b = Div(c, a) y = MatMul(b, w)", {"c": (6,), "w": (6, 3)}, 0),
    (THREE, "b = MatMul(c, a) y = MatMul(b, w)", {"c": (2, 4, 5), "w": (6, 3)}, 6),
    (THREE, "b = Transpose<perm=[0,2,1]>(a) y = MatMul(b, w)", {"w": (5, 3)}, 0),
    (
        THREE,
        "b = Transpose<perm=[0,2,1]>(a) d = MatMul(c, b) e = Transpose<perm=[0,2,1]>(d) y = MatMul(e, w)",
        {"c": (2, 6, 6), "w": (6, 3)},
        0,
    ),
    (THREE, "b = ReduceMean<axes=[1],keepdims=0>(a) y = MatMul(b, w)", {"w": (6, 3)}, 6),
    (THREE, "b = ReduceMean<axes=[-1]>(a) y = MatMul(b, w)", {"w": (1, 3)}, 0),
    (THREE, "b = ReduceMean(a) y = MatMul(b, w)", {"w": (1, 3)}, 0),
    (THREE, "b = Slice(a, i1, i4, i2) y = MatMul(b, w)", {"w": (3, 3)}, 6),
    (THREE, "b = Slice(a, i4, i1, i2, im1) y = MatMul(b, w)", {"w": (3, 3)}, 0),
    (THREE, "b, d = Split<axis=2>(a, i24) y = MatMul(d, w)", {"w": (4, 3)}, 6),
    (
        THREE,
        "b, d = Split<axis=2>(a, i24) e = ReduceMean(b) f = MatMul(d, w) y = Add(f, e)",
        {"w": (4, 3)},
        4,
    ),
    (THREE, "b = Gather<axis=1>(a, i02) y = MatMul(b, w)", {"w": (6, 3)}, 6),
    (THREE, "b = Gather<axis=2>(a, i02) y = MatMul(b, w)", {"w": (2, 3)}, 6),
    (THREE, "b = Unsqueeze(a, i1) d = Squeeze(b, i1) y = MatMul(d, w)", {"w": (6, 3)}, 6),
    (THREE, "b = Concat<axis=1>(a, a) y = MatMul(b, w)", {"w": (6, 3)}, 6),
    (THREE, "b = Concat<axis=1>(a, x) y = MatMul(b, w)", {"w": (6, 3)}, 0),
    (THREE, "b = Reshape(a, i30) y = MatMul(b, w)", {"w": (30, 3)}, 6),
    (THREE, "b = Reshape(a, s23) d = Reshape(b, s6) y = MatMul(d, w)", {"w": (6, 3)}, 6),
    (THREE, "b = Reshape(a, s15) y = MatMul(b, w)", {"w": (15, 3)}, 0),
    (THREE, "b = Reshape(a, s6) y = Gemm<transB=1>(b, w, c)", {"w": (3, 6), "c": (3,)}, 6),
    (THREE, "b = Reshape(a, s6) y = Gemm<transA=1>(b, w)", {"w": (10, 3)}, 0),
    (THREE, "b = MatMul(a, w) d = MatMul(x, w) y = Add(b, d)", {"w": (6, 3)}, 0),
    (FOUR, "y = Conv(a, w)", {"w": (3, 6, 1, 1)}, 6),
    (FOUR, "y = Conv(a, w)", {"w": (3, 6, 3, 3)}, 0),
    (FOUR, "y = Conv<group=2>(a, w)", {"w": (4, 3, 1, 1)}, 0),
    (FOUR, "b = MaxPool<kernel_shape=[2,2]>(a) y = Conv(b, w)", {"w": (3, 6, 1, 1)}, 6),
    (FOUR, "b = GlobalAveragePool(a) d = Flatten(b) y = MatMul(d, w)", {"w": (6, 3)}, 6),
    (FOUR, "b = Flatten(a) y = MatMul(b, w)", {"w": (96, 3)}, 6),
    (FOUR, "b = Transpose<perm=[0,2,3,1]>(a) y = MatMul(b, w)", {"w": (6, 3)}, 6),
]

LISTS = {
    "i1": [1],
    "i2": [2],
    "im1": [-1],
    "i4": [4],
    "i02": [0, 2],
    "i24": [2, 4],
    "i30": [0, 30],
    "s23": [0, 5, 2, 3],
    "s6": [-1, 6],
    "s15": [-1, 15],
}


@pytest.mark.parametrize(("shape", "way", "held", "free"), WAYS)
def test_a_factor_goes_as_far_as_it_commutes(
    shape: tuple[int, ...], way: str, held: dict[str, tuple[int, ...]], free: int
) -> None:
    rng = np.random.default_rng(0)
    known = {name: normal(rng, *size) for name, size in held.items()}
    known |= {name: np.array(x, np.int64) for name, x in LISTS.items() if name in way}
    known["g"] = rng.uniform(1, 2, (1, 6, 1, 1) if len(shape) == 4 else (6,)).astype(np.float32)
    nodes = way.replace(") ", ")\n")
    if free:
        known.setdefault("w", known["g"])
    size = ",".join(map(str, shape))
    graph = prepared(
        model(f"g (float[{size}] x) => (float[] y) {{ a = Mul(x, g)\n{nodes} }}", known)
    )
    found = sites(graph)
    feeds = {"x": rng.normal(size=shape).astype(np.float32)}

    assert [site.count - len(site.route.stuck) for site in found] == ([free] if free else [])
    for site in found:
        s = rng.uniform(0.25, 4, 6)
        s[list(site.route.stuck)] = 1
        (wanted,), (made,) = run(graph.model, feeds), run(scaled(graph, [(site, s)]).model, feeds)
        assert np.abs(made - wanted).max() < EXACT * np.abs(wanted).max()
        assert prod(made.shape)

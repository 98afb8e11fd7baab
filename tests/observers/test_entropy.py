"""Entropy: it cuts an outlier off, keeps a distribution that has none, and is a KL divergence."""

import numpy as np
import pytest
from numpy.typing import NDArray

from quant.calibration.profiling.accumulate import exact
from quant.calibration.profiling.statistics_graph import TensorStatistics
from quant.formats.number_format import INT8, UINT8, Integer
from quant.observers.entropy import entropy
from quant.profile.statistics import TensorProfile

TAP = TensorStatistics(
    tensor="t", channels=1, per_channel=False, start=0, reduce=(1,), steps=(), size=None
)
BOTH = pytest.mark.parametrize("number", [INT8, UINT8], ids=["int8", "uint8"])


def seen(x: NDArray[np.float64]) -> TensorProfile:
    return exact(TAP, x.astype(np.float32).reshape(1, -1), "a")


def divergence(x: NDArray[np.float64], number: Integer, low: float, high: float) -> float:
    """Return KL(p || q) over the raw numbers, by dictionaries: Migacz 2017, pages 27 to 36."""
    of = seen(x)
    bins = {of.start + i: float(n) for i, n in enumerate(of.bins) if n}
    if 0 in bins:
        bins[0] -= int((x == 0).sum())
    bins = {i: n for i, n in bins.items() if n}
    center = {i: (i + 0.5) * of.width for i in range(of.start, of.start + of.bins.size)}
    inside = sorted(i for i, c in center.items() if low <= c <= high)
    first, last = inside[0], inside[-1]
    p = {i: bins.get(i, 0.0) for i in inside}
    p[first] += sum(n for i, n in bins.items() if i < first)
    p[last] += sum(n for i, n in bins.items() if i > last)
    scale = float(number.parameters(low, high).scale)
    steps: dict[int, list[int]] = {}
    for i in inside:
        if bins.get(i):
            steps.setdefault(round(center[i] / scale), []).append(i)
    q = {i: sum(bins[j] for j in step) / len(step) for step in steps.values() for i in step}
    total_p, total_q = sum(p.values()), sum(q.values())
    live = [(n / total_p, q.get(i, 0.0) / total_q) for i, n in p.items() if n]
    return sum(a * float(np.log(a / max(b, 1e-10))) for a, b in live)


@BOTH
@pytest.mark.parametrize("outlier", [40.0, 400.0])
def test_a_planted_outlier_is_cut_off(number: Integer, outlier: float) -> None:
    """What the method is for: one element in 50 000 must not take 10 or 100 steps from the rest."""
    x = np.append(np.abs(np.random.default_rng(3).normal(0, 1, 50_000)), outlier)

    low, high = entropy(seen(x), number)
    assert low == 0.0
    assert high < 0.3 * outlier
    assert np.mean(x > high) < 0.01


@BOTH
@pytest.mark.parametrize("low", [0.0, -1.0])
def test_a_uniform_distribution_is_hardly_cut(number: Integer, low: float) -> None:
    x = np.random.default_rng(4).uniform(low, 1.0, 200_000)

    a, b = entropy(seen(x), number)
    assert b > 0.9
    assert a <= 0.9 * low


@BOTH
def test_the_zeros_of_a_relu_do_not_decide(number: Integer) -> None:
    """They are exact in every grid; counted, they would draw the range towards nothing."""
    x = np.abs(np.random.default_rng(5).normal(0, 1, 20_000))
    with_zeros = np.append(x, np.zeros(200_000))

    assert entropy(seen(with_zeros), number) == entropy(seen(x), number)


@BOTH
@pytest.mark.parametrize("kind", ["relu", "outlier", "two-sided"])
def test_no_range_that_was_tried_has_less_divergence(number: Integer, kind: str) -> None:
    """Held against the definition, written out over dictionaries."""
    rng = np.random.default_rng(6)
    x = (
        {
            "relu": np.maximum(rng.normal(0, 1, 5000), 0),
            "outlier": np.append(rng.exponential(1, 5000), 60.0),
            "two-sided": rng.normal(0.5, 1, 5000),
        }[kind]
        .astype(np.float32)
        .astype(np.float64)
    )
    low, high = min(x.min(), 0.0), x.max()

    chosen = divergence(x, number, *entropy(seen(x), number))
    tried = [divergence(x, number, low * f, high * f) for f in np.linspace(1, 1 / 96, 96)]
    assert chosen <= min(tried) + 1e-9

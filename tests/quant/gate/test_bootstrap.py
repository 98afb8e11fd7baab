"""Bounds by drawing again: against the bounds that theory knows, and the same every time."""

import numpy as np
import pytest
from scipy import stats

from quant.gate.bootstrap import mean_bounds, sqnr_bounds


def test_the_mean_of_normal_numbers_has_students_bounds() -> None:
    """Where an exact answer exists the bootstrap agrees with it."""
    x = np.random.default_rng(1).normal(3, 2, 400)
    half = stats.t.isf(0.05, 399) * x.std(ddof=1) / 20

    assert mean_bounds(x, 0.05) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.01)
    assert mean_bounds(x, 0.05) == mean_bounds(x, 0.05)


def test_sqnr_has_the_bounds_of_the_delta_method() -> None:
    """Log of a ratio of sums, linearized by hand in float64."""
    rng = np.random.default_rng(2)
    signal, noise = rng.uniform(5, 15, 2000), rng.exponential(0.01, 2000)
    low, high = sqnr_bounds(signal, noise, 0.05)
    ratio = noise / noise.mean() - signal / signal.mean()
    half = stats.norm.isf(0.05) * ratio.std() / np.sqrt(2000) * 10 / np.log(10)
    seen = 10 * np.log10(signal.sum() / noise.sum())

    assert (low, high) == pytest.approx((seen - half, seen + half), abs=0.02)


def test_what_does_not_vary_has_its_own_value_as_bounds() -> None:
    """BCa has no answer there, and a warning would be an error."""
    same = np.full(50, 0.25)

    assert mean_bounds(same, 0.05) == (0.25, 0.25)
    assert sqnr_bounds(same, same / 100, 0.05) == pytest.approx((20, 20))
    assert sqnr_bounds(same, np.zeros(50), 0.05) == (np.inf, np.inf)


def test_a_level_that_the_draws_do_not_resolve_has_no_bounds() -> None:
    """The least of 4999 draws is no bound that is wrong once in a million: early looks need that."""
    x = np.random.default_rng(4).normal(size=200)

    assert mean_bounds(x, 1e-6) == (-np.inf, np.inf)
    assert sqnr_bounds(x**2, x**2 / 50, 1e-6) == (-np.inf, np.inf)
    assert np.isfinite(mean_bounds(x, 0.0011)).all()


def test_one_sample_that_differs_is_enough_for_percentiles() -> None:
    """The accelerated interval fails on nearly constant data, and the plain one is taken."""
    x = np.zeros(100)
    x[3] = 1.0
    low, high = mean_bounds(x, 0.05)

    assert (low, high) == (pytest.approx(0.0, abs=0.01), pytest.approx(0.03, abs=0.02))
    big = np.random.default_rng(3).exponential(1, 5000)
    assert mean_bounds(big, 0.05) == pytest.approx(
        (big.mean() - 0.023, big.mean() + 0.023), abs=2e-3
    )

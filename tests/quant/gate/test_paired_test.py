"""The exact paired test: its error rate by enumeration, its statistic by optimization."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from quant.gate.paired_test import (
    Paired,
    _score,
    chance_of_less,
    chance_of_more,
    drop_bounds,
    mcnemar,
    wilson,
)

LEVEL = 0.05


def verdicts(n: int, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return bool `[n + 1, n + 1]` by lost and won: shown to be less, shown to be more."""
    less, more = np.zeros((n + 1, n + 1), bool), np.zeros((n + 1, n + 1), bool)
    for lost in range(n + 1):
        for won in range(n + 1 - lost):
            seen = Paired(samples=n, lost=lost, won=won)
            less[lost, won] = chance_of_less(seen, limit, LEVEL) <= LEVEL
            more[lost, won] = chance_of_more(seen, limit, LEVEL) <= LEVEL
    return less, more


@pytest.mark.parametrize(("n", "limit"), [(25, 0.1), (25, 0.0), (30, 0.05)])
def test_wrong_verdicts_are_at_most_as_frequent_as_stated(n: int, limit: float) -> None:
    """The promise of the gate: on the limit itself, whatever share of samples is discordant.

    The chances are those of the trinomial distribution, summed over all outcomes.
    """
    less, more = verdicts(n, limit)
    lost, won = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    inside = lost + won <= n
    counts = np.stack([lost, won, n - lost - won], axis=-1)[inside]
    for share in np.linspace(0.001, (1 - limit) / 2 - 0.001, 40):
        chance = stats.multinomial.pmf(counts, n, [share + limit, share, 1 - 2 * share - limit])

        assert chance[less[inside]].sum() <= LEVEL
        assert chance[more[inside]].sum() <= LEVEL
    assert less.any()
    assert more.any()


def test_the_statistic_is_that_of_the_most_likely_share() -> None:
    """Tango's closed form against a maximum that is searched for."""
    for n, lost, won, limit in [(100, 7, 3, 0.02), (100, 2, 9, -0.03), (50, 1, 4, 0.1)]:

        def unlikely(q: float, n=n, b=lost, c=won, m=limit) -> float:
            rest = n - b - c
            return -(b * math.log(q + m) + c * math.log(q) + rest * math.log(1 - 2 * q - m))

        edges = (max(0.0, -limit) + 1e-12, (1 - limit) / 2 - 1e-12)
        q = optimize.minimize_scalar(unlikely, bounds=edges, method="bounded").x
        wanted = (lost - won - n * limit) / math.sqrt(n * (2 * q + limit * (1 - limit)))

        assert _score(lost, won, n, limit) == pytest.approx(wanted, rel=1e-3)


def test_no_discordant_sample_follows_the_rule_of_three() -> None:
    """300 equal answers bound a drop to 1 %, 298 do not: (1 - 0.01) ** n is below 5 % from 299."""
    assert drop_bounds(Paired(samples=300, lost=0, won=0), LEVEL)[1] < 0.01
    assert drop_bounds(Paired(samples=298, lost=0, won=0), LEVEL)[1] > 0.01


def test_bounds_turn_with_the_networks_and_meet_the_normal_ones_for_many_samples() -> None:
    """Which network is called the reference must not matter."""
    seen = Paired(samples=20_000, lost=900, won=700)
    low, high = drop_bounds(seen, LEVEL)
    other = drop_bounds(seen.swapped, LEVEL)
    half = stats.norm.isf(LEVEL) * math.sqrt((0.08 - 0.01**2) / 20_000)

    assert (low, high) == pytest.approx((-other[1], -other[0]))
    assert (low, high) == pytest.approx((0.01 - half, 0.01 + half), abs=1e-4)


def test_mcnemar_is_the_coin_of_the_discordant_samples() -> None:
    assert mcnemar(Paired(samples=99, lost=9, won=1)) == pytest.approx(2 * 11 / 1024)
    assert mcnemar(Paired(samples=99, lost=0, won=0)) == 1.0


def test_wilson_is_the_formula_of_1927() -> None:
    z, p, n = stats.norm.isf(0.025), 0.9, 200
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n

    assert wilson(180, 200) == pytest.approx(((middle - half) / scale, (middle + half) / scale))


def test_counts_that_do_not_fit_are_a_bug_of_the_caller() -> None:
    with pytest.raises(ValueError, match="lost and won must fit into the samples"):
        Paired(samples=3, lost=2, won=2)

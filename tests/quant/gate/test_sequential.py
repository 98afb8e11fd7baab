"""Looks spend the error rate and no more."""

import numpy as np
import pytest
from scipy import stats

from quant.gate.sequential import levels, looks


@pytest.mark.parametrize("samples", [1, 40, 100, 777, 50_000])
def test_the_levels_of_the_looks_add_up_to_the_whole(samples: int) -> None:
    """Then the union bound holds the rate, whatever the looks have to do with each other."""
    counts = looks(samples)
    spent = levels(counts, 0.05)

    assert counts == sorted(set(counts))
    assert counts[-1] == samples
    assert sum(spent) == pytest.approx(0.05)
    assert all(x >= 0 for x in spent)


def test_half_of_the_samples_spend_what_the_function_says() -> None:
    """2 - 2 * Phi(z(0.025) / sqrt(0.5)), by hand."""
    wanted = 2 - 2 * stats.norm.cdf(stats.norm.isf(0.025) / np.sqrt(0.5))

    assert levels([1000, 2000], 0.05)[0] == pytest.approx(wanted)

"""Pass, fail or undecided; and the advice how many more samples would decide."""

import numpy as np
import pytest
from scipy import stats

from quant.gate.decide import (
    decide_drop,
    decide_mean,
    decide_share,
    decide_sqnr,
    drop_outcome,
)
from quant.gate.paired_test import Paired


def seen(samples: int, lost: int, won: int) -> Paired:
    return Paired(samples=samples, lost=lost, won=won)


@pytest.mark.parametrize(
    ("counts", "outcome"),
    [((2000, 30, 30), "pass"), ((2000, 100, 30), "fail"), ((300, 6, 6), "undecided")],
)
def test_a_drop_is_decided_where_the_samples_suffice(
    counts: tuple[int, int, int], outcome: str
) -> None:
    """4 % of discordant samples need some 1500 for a point."""
    found = decide_drop(seen(*counts), 0.01, 0.05)

    assert found.outcome == outcome == drop_outcome(seen(*counts), 0.01, 0.05)
    assert found.low <= found.value <= found.high
    assert (found.needed is None) == (outcome != "undecided")


def test_the_advised_number_decides_in_four_of_five_cases() -> None:
    """Drawn anew at the rates that were seen; binomial bounds on 300 draws are 73 to 87 %."""
    first = decide_drop(seen(300, 6, 6), 0.01, 0.05)
    n = 300 + (first.needed or 0)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(n, [6.5 / 302, 6.5 / 302, 289 / 302], size=300)
    decided = [drop_outcome(seen(n, int(b), int(c)), 0.01, 0.05) == "pass" for b, c, _ in drawn]

    assert 0.70 <= np.mean(decided) <= 0.90


def test_on_the_limit_no_number_would_decide() -> None:
    assert decide_drop(seen(1000, 15, 5), 0.01, 0.05).needed is None


def test_more_parts_make_a_fail_harder_and_leave_a_pass_alone() -> None:
    """Of a hundred classes some look bad by chance."""
    bad, good = seen(100, 12, 2), seen(100, 0, 1)

    assert decide_drop(bad, 0.02, 0.05).outcome == "fail"
    assert decide_drop(bad, 0.02, 0.05, parts=100).outcome == "undecided"
    assert decide_drop(good, 0.05, 0.05, parts=100).outcome == "pass"


def test_a_share_is_decided_by_the_exact_binomial_test() -> None:
    """0.99 ** 299 is just below 5 %."""
    assert decide_share(299, 299, 0.99, 0.05).outcome == "pass"
    assert decide_share(298, 298, 0.99, 0.05).outcome == "undecided"
    assert decide_share(298, 298, 0.99, 0.05).needed == 1
    found = decide_share(290, 300, 0.9, 0.05)  # Clopper and Pearson, by the beta distribution
    assert found.low == pytest.approx(stats.beta.ppf(0.05, 290, 11))
    assert found.high == pytest.approx(stats.beta.ppf(0.95, 291, 10))
    assert decide_share(270, 300, 0.99, 0.05).outcome == "fail"
    assert decide_share(0, 0, 0.99, 0.05).outcome == "undecided"


def test_a_mean_and_an_sqnr_are_decided_by_drawing_again() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0.0, 1.0, 400)
    signal, noise = np.full(400, 100.0), rng.exponential(1.0, 400)

    assert decide_mean(x, 0.5, 0.05).outcome == "pass"
    assert decide_mean(x, -0.5, 0.05).outcome == "fail"
    assert decide_mean(x, float(x.mean()) + 0.01, 0.05).outcome == "undecided"
    assert decide_sqnr(signal, noise, 19, 0.05).outcome == "pass"
    assert decide_sqnr(signal, noise, 21, 0.05).outcome == "fail"
    strict = decide_mean(x, 0.5, 1e-6)
    assert (strict.outcome, strict.needed) == ("undecided", None)
    assert strict.because == "the bootstrap cannot show so high a confidence"
    assert decide_mean(x, -0.5, 0.05, parts=1000).outcome == "undecided"
    close = decide_sqnr(signal, noise, decide_sqnr(signal, noise, 19, 0.05).value + 0.05, 0.05)
    assert close.outcome == "undecided"
    assert close.needed is not None


def test_few_samples_are_undecided_and_silence_is_infinitely_good() -> None:
    few = decide_mean(np.zeros(10), 0.5, 0.05)

    assert (few.outcome, few.needed, few.because) == (
        "undecided",
        20,
        "a bootstrap needs 30 samples",
    )
    assert decide_sqnr(np.ones(40), np.zeros(40), 99, 0.05).outcome == "pass"
    assert decide_sqnr(np.zeros(40), np.ones(40), 0, 0.05).outcome == "fail"

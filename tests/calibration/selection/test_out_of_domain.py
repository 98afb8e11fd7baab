"""Out of domain: the factor against its definition, and which samples are flagged."""

import numpy as np

from quant.calibration.selection.out_of_domain import (
    MIN_SAMPLES,
    NEIGHBOURS,
    domain_scores,
    out_of_domain,
)


def cloud(count: int, seed: int = 0, axes: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, axes))


def lof(points: np.ndarray, k: int) -> np.ndarray:
    """Return the local outlier factor as Breunig et al. 2000, definitions 3 to 7, write it."""
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    order = np.argsort(apart, axis=1)[:, :k]
    reach = np.take_along_axis(apart, order, 1)[:, -1]
    density = [
        1 / np.mean([max(reach[j], apart[i, j]) for j in order[i]]) for i in range(len(points))
    ]
    return np.array(
        [np.mean([density[j] for j in order[i]]) / density[i] for i in range(len(points))]
    )


def test_scores_are_the_robust_z_of_the_factors_logarithm() -> None:
    """By the paper's definitions in float64."""
    points = cloud(120)
    score, factor = domain_scores(points)
    want = lof(points, NEIGHBOURS)
    log = np.log(want)
    spread = 1.4826 * np.median(np.abs(log - np.median(log)))

    np.testing.assert_allclose(factor, want, rtol=1e-6)
    np.testing.assert_allclose(score, (log - np.median(log)) / spread, rtol=1e-5, atol=1e-5)


def flagged(points: np.ndarray) -> list[int]:
    among = np.arange(len(points))
    return np.flatnonzero(out_of_domain(lambda rows: points[rows], among, len(points))[1]).tolist()


def test_a_clean_cloud_has_hardly_anybody_outside() -> None:
    """Few false alarms is what the flag is for: at most 2 in 1000 normal ones."""
    assert sum(len(flagged(cloud(400, seed))) for seed in range(5)) <= 4


def test_a_few_far_ones_are_found_even_close_together() -> None:
    """Five noise images are alike to a network, and would vouch for each other."""
    points = cloud(300)
    points[100:105] = 12 + 0.01 * cloud(5, 1)

    assert flagged(points) == list(range(100, 105))


def test_a_second_population_is_judged_by_itself() -> None:
    """Photographs beside videos are no errors; noise beside both is one."""
    video = 0.02 * np.concatenate([cloud(180, 1), cloud(180, 2) + 200])
    photos = 3 * cloud(60, 3) + 10
    noise = np.full((1, 8), 200.0)

    found = flagged(np.concatenate([video, photos, noise]))
    assert found[-1] == 420
    assert len(found) <= 4


def test_little_says_nothing() -> None:
    """And equal samples neither, nor samples that were left out."""
    assert flagged(np.concatenate([cloud(MIN_SAMPLES - 2), [[99.0] * 8]])) == []
    assert flagged(np.ones((50, 4))) == []
    points = cloud(100)
    points[7] = 50
    score, odd = out_of_domain(lambda rows: points[rows], np.delete(np.arange(100), 7), 100)
    assert (score[7], odd[7]) == (0.0, False)

"""Copies, exact and near, and pairs that only look like copies."""

import numpy as np

from quant.calibration.selection.duplicates import (
    MAX_DIFFERENCE,
    duplicates_of,
    exact_copies,
    near_copies,
)


def thumbnails(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, 64)).astype(np.float32)


def everyone(x: np.ndarray) -> np.ndarray:
    return np.arange(len(x))


def test_an_exact_copy_names_the_first_of_its_kind() -> None:
    """Not the one before it: three copies are two of one."""
    assert exact_copies([5, 6, 5, 5, 6]).tolist() == [-1, -1, 0, 0, 1]


def test_a_near_copy_is_one_below_the_limit_of_contrast() -> None:
    """The rule in float64, pair by pair, on pictures on both sides of it."""
    x = thumbnails(40)
    rng = np.random.default_rng(1)
    for i in range(20, 40):
        x[i] = x[i - 20] + rng.normal(0, MAX_DIFFERENCE * (i - 19.5) / 10, 64)
    found = near_copies(x, everyone(x))
    wide = x.astype(np.float64)
    contrast = wide.std(axis=1)
    for i in range(20):
        assert found[i] == -1
        j = i + 20
        apart = np.sqrt(np.mean((wide[i] - wide[j]) ** 2))
        assert (found[j] == i) == (apart < MAX_DIFFERENCE * min(contrast[i], contrast[j]))
    assert {-1} < set(found.tolist())


def test_a_brighter_picture_is_no_copy() -> None:
    """Brightness moves the ranges."""
    x = thumbnails(2)
    x[1] = x[0] + 1

    assert near_copies(x, everyone(x)).tolist() == [-1, -1]


def test_a_picture_of_more_contrast_is_no_copy() -> None:
    """It is held against the flatter of the two, whichever comes first."""
    x = np.repeat(thumbnails(1), 2, axis=0)
    x -= x.mean()
    for gain, alike in ((1.1 * MAX_DIFFERENCE, False), (0.9 * MAX_DIFFERENCE, True)):
        both = x * np.array([[1], [1 + gain]], np.float32)
        assert (near_copies(both, everyone(both))[1] == 0) == alike
        assert (near_copies(both[::-1].copy(), everyone(both))[1] == 0) == alike


def test_a_slow_pan_is_no_chain_of_copies() -> None:
    """Each is like the one before it, and the last is nothing like the first."""
    a, b = thumbnails(2).astype(np.float64)
    x = np.array([a + t * (b - a) for t in np.linspace(0, 1, 60)], np.float32)
    found = near_copies(x, everyone(x))
    kept = np.flatnonzero(found < 0)

    assert 3 < len(kept) < 30
    assert set(found[found >= 0].tolist()) <= set(kept.tolist())


def test_blocks_change_nothing() -> None:
    """1200 samples are three blocks; their copies lie in other ones."""
    x = np.concatenate([thumbnails(600), thumbnails(600)])

    assert near_copies(x, everyone(x)).tolist() == [-1] * 600 + list(range(600))


def test_samples_that_are_not_judged_are_no_copies() -> None:
    """Nor is anybody theirs."""
    x = np.repeat(thumbnails(1), 4, axis=0)
    x[0] = np.nan

    assert near_copies(x, np.array([1, 3])).tolist() == [-1, -1, -1, 1]


def test_black_frames_are_copies() -> None:
    """They have no contrast of their own, so the pool's is taken."""
    x = thumbnails(6)
    x[3:] = 0
    x[5] += 1e-4

    assert near_copies(x, everyone(x)).tolist() == [-1, -1, -1, -1, 3, 3]


def test_what_the_network_tells_apart_is_no_copy() -> None:
    """A small thing moved; pixels hardly notice."""
    points = np.array([[0.0], [1.0], [2.0], [3.0], [0.5], [9.0]])
    alike = np.array([-1, -1, -1, -1, 0, 1])

    assert duplicates_of(alike, points, np.arange(6)).tolist() == [-1, -1, -1, -1, 0, -1]

"""The pool: which samples are copies, which are out of domain, and which may be chosen."""

from dataclasses import replace

import numpy as np
import pytest

from quant.calibration.selection.coverage import METHODS
from quant.calibration.selection.features import Features
from quant.calibration.selection.pool import Pool, screened


def features(count: int = 80, seed: int = 0) -> Features:
    rng = np.random.default_rng(seed)
    plan = rng.normal(size=(6, 40))
    deep = (rng.normal(size=(count, 6)) @ plan + 0.1 * rng.normal(size=(count, 40))).astype("f4")
    return Features(
        keys=tuple(f"{i}.png" for i in range(count)),
        digests=tuple(range(count)),
        groups={"depth a": deep, "input": rng.normal(size=(count, 3)).astype("f4")},
        thumbnails=rng.normal(size=(count, 48)).astype("f4"),
    )


def with_rows(base: Features, rows: list[int], digest: bool, wobble: float = 0.0) -> Features:
    """Append copies of some samples."""
    rng = np.random.default_rng(1)
    more = base.thumbnails[rows] + wobble * rng.normal(size=(len(rows), 48)).astype("f4")
    fresh = tuple(10**6 + i for i in range(len(rows)))
    return Features(
        keys=(*base.keys, *(f"copy{i}.png" for i in range(len(rows)))),
        digests=(*base.digests, *((tuple(base.digests[i] for i in rows)) if digest else fresh)),
        groups={k: np.concatenate([x, x[rows]]) for k, x in base.groups.items()},
        thumbnails=np.concatenate([base.thumbnails, more.astype("f4")]),
    )


@pytest.mark.parametrize(("digest", "wobble"), [(True, 0.0), (False, 0.05)])
def test_copies_are_found_and_never_chosen(digest: bool, wobble: float) -> None:
    """Exact and near; they name the original, also where they are many."""
    pool = screened(with_rows(features(), [3, 3, 8], digest, wobble))

    assert pool.copy_of[80:].tolist() == [3, 3, 8]
    assert (pool.copy_of[:80] == -1).all()
    assert pool.exact.tolist() == [False] * 80 + [digest] * 3
    for method in METHODS:
        assert set(pool.choose(method, 80).tolist()) == set(range(80))


def odd_pool() -> Pool:
    base = with_rows(features(120), [5], digest=True)
    groups = dict(base.groups)
    groups["depth a"] = groups["depth a"].copy()
    groups["depth a"][[5, 120]] = 60 * np.random.default_rng(4).normal(size=40)
    return screened(replace(base, groups=groups))


def test_what_is_out_of_domain_is_chosen_only_if_asked() -> None:
    """Its copy is out of domain too, and has its score."""
    pool = odd_pool()

    assert np.flatnonzero(pool.out_of_domain).tolist() == [5, 120]
    assert pool.score[5] == pool.score[120] > 6
    assert 5 not in pool.choose("coverage", 120)
    assert set(pool.choose("coverage", 120, keep_out_of_domain=True).tolist()) == set(range(120))


def test_a_sample_that_is_not_finite_has_no_class() -> None:
    """Neither chosen nor near anything."""
    base = features()
    base.groups["depth a"][7, 2] = np.inf
    pool = screened(base)
    chosen = pool.choose("coverage", 10)
    nearest, apart = pool.stands_for(chosen)

    assert pool.broken.tolist() == [i == 7 for i in range(80)]
    assert np.isnan(pool.score[7])
    assert 7 not in pool.choose("random", 80)
    assert nearest[7] == -1
    assert np.isnan(apart[7])


def test_distances_are_in_those_of_neighbours() -> None:
    """Worked out from the points in float64."""
    pool = screened(features())
    chosen = pool.choose("coverage", 12)
    nearest, apart = pool.stands_for(chosen)
    every = np.linalg.norm(pool.points[:, None] - pool.points[None], axis=2)
    unit = np.median(np.where(np.eye(80) > 0, np.inf, every).min(axis=1))

    np.testing.assert_allclose(apart, every[:, chosen].min(axis=1) / unit, rtol=1e-6, atol=1e-9)
    assert nearest.tolist() == chosen[every[:, chosen].argmin(axis=1)].tolist()


def test_a_pool_without_an_eligible_sample_is_no_crash() -> None:
    """The command says so; one sample is a pool as well."""
    base = features(4)
    base.groups["depth a"][:] = np.nan
    assert screened(base).eligible().tolist() == []
    one = screened(features(1))
    assert one.choose("coverage", 5).tolist() == [0]
    assert one.choose("kmeans", 5).tolist() == [0]
    assert one.stands_for(np.array([0]))[1].tolist() == [0.0]

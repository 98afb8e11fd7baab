"""The embedding: distances that do not depend on units, on one noise image, or on dead columns."""

import numpy as np

from quant.calibration.selection.embedding import COMPONENTS, MAX_DEVIATIONS, Embedding


def groups(seed: int = 0, rows: int = 60) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    few = rng.normal(3, 2, (rows, 4)).astype(np.float32)
    many = rng.normal(-1, 9, (rows, 50)).astype(np.float32)
    return {"few": few, "many": many}


def test_distances_are_those_of_principal_axes_in_float64() -> None:
    """By the singular value decomposition of the standardized, clipped and weighted columns."""
    made = groups()
    parts = []
    for x in made.values():
        wide = x.astype(np.float64)
        z = np.clip((wide - wide.mean(axis=0)) / wide.std(axis=0), -MAX_DEVIATIONS, MAX_DEVIATIONS)
        parts.append(z / np.sqrt(z.shape[1]))
    z = np.concatenate(parts, axis=1)
    z -= z.mean(axis=0)
    _, _, axes = np.linalg.svd(z, full_matrices=False)
    want = np.abs(z @ axes[:3].T)
    found = Embedding.fit(made).place(made)

    assert found.shape == (60, COMPONENTS)
    np.testing.assert_allclose(np.abs(found[:, :3]), want, rtol=1e-3, atol=1e-3)


def test_units_and_dead_columns_change_nothing() -> None:
    """A channel in thousands weighs as much as one in thousandths."""
    made = groups()
    other = {
        "few": made["few"] * np.float32(4096),
        "many": np.concatenate([made["many"], np.full((60, 3), 7, np.float32)], axis=1),
    }
    a, b = Embedding.fit(made).place(made), Embedding.fit(other).place(other)

    np.testing.assert_allclose(np.abs(a[:, :4]), np.abs(b[:, :4]), rtol=1e-3, atol=1e-4)


def test_equal_samples_lie_in_one_place() -> None:
    """One sample, too; and a network without features."""
    same = {"few": np.ones((5, 4), np.float32)}
    assert np.ptp(Embedding.fit(same).place(same)) == 0
    one = {"few": np.ones((1, 4), np.float32)}
    assert Embedding.fit(one).place(one).shape[0] == 1
    none = {"few": np.ones((3, 0), np.float32)}
    assert Embedding.fit(none).place(none).shape[0] == 3

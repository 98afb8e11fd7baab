"""The embedding of samples: their features as points whose distances can be compared."""

__all__ = ["Embedding"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

COMPONENTS = 16
"""Axes of the embedding; with 32 and 64 what is out of domain stands out less (docs/selection.md)."""
MAX_DEVIATIONS = 4.0
"""Standard deviations at which a feature is clipped: activations have heavy tails, and
one noise image would else turn every axis towards itself."""
CONSTANT_SHARE = 1e-6
"""A column whose deviation is this share of its magnitude, or less, is constant up to rounding."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """Principal axes of standardized features, every group of which weighs the same.

    ``z = clip((x - mean) / std, -4, 4) / sqrt(columns of the group)``, then the PCA of scikit-learn.
    """

    _columns: dict[str, tuple[NDArray[np.bool_], F64, F64]]
    _axes: Any

    @classmethod
    def fit(cls, groups: Mapping[str, F32]) -> Self:
        """Return the embedding of these samples; all finite, at least one sample.

        Args:
            groups: By name float32 `[samples, columns]`.
        """
        columns = {}
        for name in sorted(groups):
            x = groups[name].astype(np.float64)
            deviation = x.std(axis=0)
            varying = deviation > CONSTANT_SHARE * np.abs(x).max(axis=0, initial=0)
            if varying.any():
                columns[name] = (varying, x[:, varying].mean(axis=0), deviation[varying])
        unrotated = cls(columns, None)
        z = unrotated.standardized(groups)
        count = min(COMPONENTS, *z.shape)
        if count < 1 or len(z) < 2:
            return unrotated
        return cls(columns, PCA(count, svd_solver="randomized", random_state=0).fit(z))

    def place(self, groups: Mapping[str, F32]) -> F64:
        """Return float64 `[samples, axes]`; one column of zeros where all fitted samples are equal."""
        z = self.standardized(groups)
        if self._axes is None:
            return np.zeros((len(z), 1))
        return np.asarray(self._axes.transform(z), np.float64)

    def standardized(self, groups: Mapping[str, F32]) -> F64:
        """Return float64 `[samples, columns]`, the standardized features, without the PCA."""
        parts = []
        for name, (varying, mean, deviation) in self._columns.items():
            z = (groups[name][:, varying].astype(np.float64) - mean) / deviation
            parts.append(np.clip(z, -MAX_DEVIATIONS, MAX_DEVIATIONS) / np.sqrt(z.shape[1]))
        rows = len(next(iter(groups.values())))
        return np.concatenate(parts, axis=1) if parts else np.zeros((rows, 0))

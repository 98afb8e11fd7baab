"""Accuracy of a classifier: the share of samples whose label is among the k highest classes."""

__all__: list[str] = []

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.metrics.metric import METRICS, Metric

Array = NDArray[Any]


def _top(k: int) -> Callable[[Mapping[str, Array], Array], NDArray[np.float64]]:
    """Return a function that scores 1 where fewer than `k` classes of the first output beat the label.

    Of equal classes the lower one counts as the higher; an output that is not finite scores 0.
    """

    def score(outputs: Mapping[str, Array], labels: Array) -> NDArray[np.float64]:
        logits = next(iter(outputs.values()))
        if logits.ndim != 2 or len(logits) != len(labels):
            raise ValueError(f"the first output must be [samples, classes], saw {logits.shape}")
        if np.any((labels < 0) | (labels >= logits.shape[1])):
            raise ValueError(
                f"labels must be from 0 to {logits.shape[1] - 1}, saw {labels.min()} to "
                f"{labels.max()}"
            )
        own = np.take_along_axis(logits, np.asarray(labels, np.int64)[:, None], axis=1)
        better = np.count_nonzero(logits > own, axis=1)
        ties_before = np.count_nonzero(
            (logits == own) & (np.arange(logits.shape[1]) < np.asarray(labels)[:, None]), axis=1
        )
        return np.asarray((better + ties_before < k) & np.isfinite(own[:, 0]), np.float64)

    return score


for _k in (1, 5):
    METRICS.add(f"top{_k}")(
        Metric(
            name=f"top{_k}",
            unit="share",
            better="higher",
            score=_top(_k),
            about="share of samples whose label is the highest class"
            if _k == 1
            else f"share of samples whose label is among the {_k} highest classes",
        )
    )

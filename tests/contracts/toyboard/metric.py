"""Margin: how far the label's class is above the others."""

__all__ = ["MARGIN"]

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.metrics.metric import METRICS, Metric


def _margin(outputs: Mapping[str, NDArray[Any]], labels: Any) -> NDArray[np.float64]:
    """Return the label's logit less the highest other one, float64 `[samples]`."""
    logits = next(iter(outputs.values())).astype(np.float64)
    if logits.ndim != 2 or len(logits) != len(labels):
        raise ValueError(f"the first output must be [samples, classes], saw {logits.shape}")
    rows = np.arange(len(logits))
    own = logits[rows, labels]
    logits[rows, labels] = -np.inf
    return np.asarray(own - logits.max(axis=1))


MARGIN = Metric(
    name="margin",
    unit="logits",
    better="higher",
    score=_margin,
    about="logit of the label above the next class",
)
METRICS.add("margin")(MARGIN)

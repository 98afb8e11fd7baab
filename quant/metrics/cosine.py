"""Cosine of each sample's output with the float network's: what embeddings are compared by."""

__all__: list[str] = []

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.metrics.metric import METRICS, Metric
from quant.metrics.squared_error import SquaredError

Array = NDArray[Any]


def _cosine(outputs: Mapping[str, Array], reference: Mapping[str, Array]) -> NDArray[np.float64]:
    """Return each sample's cosine with float, of its worst output, float64 `[samples]`."""
    by_output = []
    for name, expected in reference.items():
        if expected.dtype.kind == "f" and expected.ndim:
            a, b = (x.reshape(len(expected), -1).astype(float) for x in (expected, outputs[name]))
            sums = [np.einsum("ij,ij->i", x, x) for x in (a, a - b, b)]
            by_output.append([SquaredError(*row).cosine for row in np.stack(sums, axis=1).tolist()])
    if not by_output:
        raise ValueError("one output must be floats, with an axis of samples")
    return np.asarray(np.min(by_output, axis=0), np.float64)


METRICS.add("cosine")(
    Metric(
        name="cosine",
        unit="cosine with float",
        better="higher",
        score=_cosine,
        against_float=True,
        about="cosine of each output with the float network's; for embeddings",
    )
)

"""Batch: samples of one shape, stacked for one inference."""

__all__ = ["Batch"]

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples of one shape, ready for a model.

    Attributes:
        keys: Who they are; `count` of them.
        feeds: An array for each input, with exactly as many rows as was asked for: a short last
            batch repeats its last sample.
        labels: A class or None for each key.
        digests: SHA-256, as an integer, of each sample's names, dtypes, shapes and bytes; keys do
            not enter, and the sum over samples does not depend on their order.
        count: How many rows are samples, at least 1.
    """

    keys: tuple[str, ...]
    feeds: dict[str, Array]
    labels: tuple[int | None, ...]
    digests: tuple[int, ...]
    count: int

"""Batch: samples of one shape, stacked for one inference."""

__all__ = ["Batch", "joined_feeds"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
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

    @property
    def rows(self) -> int | None:
        """Rows of the arrays, padding included; None where the inputs disagree."""
        lengths = {len(x) for x in self.feeds.values() if x.ndim}
        return lengths.pop() if len(lengths) == 1 else None

    def samples(self, array: Array) -> Array:
        """Return an array without the rows of the padding; itself where axis 0 is not the rows'.

        An output whose first axis counts something else, such as boxes, has no padding to cut.
        """
        return array[: self.count] if array.ndim and len(array) == self.rows else array


def joined_feeds(batches: Sequence[Batch]) -> Mapping[str, Array]:
    """Return the samples of all batches by input name, without padding; at least one batch."""
    names = list(batches[0].feeds)
    return {name: np.concatenate([b.samples(b.feeds[name]) for b in batches]) for name in names}

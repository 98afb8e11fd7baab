"""Batch: which rows of an array are samples."""

import numpy as np

from quant.compare.batch import joined_feeds
from tests.chosen import batch_of


def test_only_an_array_with_the_rows_of_the_batch_has_padding() -> None:
    """A detector's 5 boxes are none of the 4 rows, and a scalar has no rows at all."""
    short = batch_of({"x": np.arange(6.0).reshape(3, 2)}, 4)

    assert short.samples(np.arange(4)).tolist() == [0, 1, 2]
    assert short.samples(np.arange(5)).tolist() == [0, 1, 2, 3, 4]
    assert short.samples(np.float32(7)) == 7


def test_joined_feeds_are_the_samples_in_order() -> None:
    """What fits integers reads all samples at once, and no copy of the last one."""
    parts = [batch_of({"x": np.full((n, 2), float(n))}, 4) for n in (4, 3)]

    assert joined_feeds(parts)["x"][:, 0].tolist() == [4.0] * 4 + [3.0] * 3

"""Errors of single samples: which rows of an output are samples, and what is not finite."""

import numpy as np

from quant.metrics.squared_error import SquaredError, row_errors, sqnr

NAN = float("nan")


def test_rows_that_are_samples_have_their_own_sums() -> None:
    """By hand: 3, 4 against 3, 6 and 1, nan against 1, 5; what float does not know does not count."""
    want = np.array([[3.0, 4.0], [1.0, NAN]], np.float32)
    got = np.array([[3.0, 6.0], [1.0, 5.0]], np.float32)
    signal, noise = row_errors(want, got, 2)

    assert signal.tolist() == [25.0, 1.0]
    assert noise.tolist() == [4.0, 0.0]
    assert row_errors(got, want, 2)[1].tolist()[0] == 4.0
    assert np.isnan(row_errors(got, want, 2)[1][1])


def test_the_boxes_of_one_image_are_one_sample() -> None:
    """A detector's rows are boxes; a batch of one is a sample as a whole."""
    boxes = np.ones((5, 7), np.float32)

    assert [x.tolist() for x in row_errors(boxes, 2 * boxes, 1)] == [[35.0], [35.0]]
    assert np.isnan(row_errors(boxes, boxes, 2)).all()
    assert np.isnan(row_errors(boxes, boxes[:4], 1)).all()
    assert [x.tolist() for x in row_errors(np.float32(2), np.float32(3), 1)] == [[4.0], [1.0]]


def test_errors_of_parts_add_up_to_the_error_of_the_whole() -> None:
    """A network's outputs arrive batch by batch; the report is about all of them."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(-9, 9, (2, 6, 5)).astype(np.float64)
    whole = SquaredError.of(x, y)

    assert SquaredError.of(x[:4], y[:4]) + SquaredError.of(x[4:], y[4:]) == whole
    assert SquaredError.of(x, y, pairwise=True) == whole
    assert (whole.signal, whole.noise) == ((x**2).sum(), ((x - y) ** 2).sum())
    assert (whole.other, whole.largest) == ((y**2).sum(), np.abs(x - y).max())


def test_shapes_that_differ_have_no_error() -> None:
    """As many boxes as were found: nothing can be subtracted, then or later."""
    error = SquaredError.of(np.ones(3), np.ones(2)) + SquaredError(1.0, 1.0)

    assert np.isnan([error.sqnr_db, error.largest]).all()
    assert np.isnan(sqnr(np.ones(3), np.ones(2)))

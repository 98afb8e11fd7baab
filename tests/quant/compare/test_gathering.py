"""Errors of single samples: which rows of an output are samples, and what is not finite."""

import numpy as np

from quant.compare.sample_table import SampleCollector, error_of_rows

NAN = float("nan")


def test_rows_that_are_samples_have_their_own_sums() -> None:
    """By hand: 3, 4 against 3, 6 and 1, nan against 1, 5; what float does not know does not count."""
    want = np.array([[3.0, 4.0], [1.0, NAN]], np.float32)
    got = np.array([[3.0, 6.0], [1.0, 5.0]], np.float32)
    signal, noise = error_of_rows(want, got, 2)

    assert signal.tolist() == [25.0, 1.0]
    assert noise.tolist() == [4.0, 0.0]
    assert error_of_rows(got, want, 2)[1].tolist()[0] == 4.0
    assert np.isnan(error_of_rows(got, want, 2)[1][1])


def test_the_boxes_of_one_image_are_one_sample() -> None:
    """A detector's rows are boxes; a batch of one is a sample as a whole."""
    boxes = np.ones((5, 7), np.float32)

    assert [x.tolist() for x in error_of_rows(boxes, 2 * boxes, 1)] == [[35.0], [35.0]]
    assert np.isnan(error_of_rows(boxes, boxes, 2)).all()
    assert np.isnan(error_of_rows(boxes, boxes[:4], 1)).all()
    assert [x.tolist() for x in error_of_rows(np.float32(2), np.float32(3), 1)] == [[4.0], [1.0]]


def test_a_metric_that_did_not_judge_every_sample_is_left_out() -> None:
    """Half a table would be compared with another half."""
    each = SampleCollector()
    each.see([np.ones((2, 3))], [np.ones((2, 3))], 2)
    each.see_classes(np.eye(3)[:2], np.eye(3)[[1, 1]])
    told = [("a", "", 0), ("b", "", None)]
    table = each.table(["out"], told, {"top1": [np.ones(1)]}, {"top1": [np.ones(1)]}, [])

    assert dict(table.scores) == {}
    assert table.labels.tolist() == [0, -1]
    assert (table.float_class.tolist(), table.quantized_class.tolist()) == ([0, 1], [1, 1])

"""Metrics: each worked out by hand, with its edges."""

import math

import numpy as np
import pytest

from quant.metrics.metric import METRICS
from quant.metrics.squared_error import SquaredError, sqnr


def test_sqnr_is_ten_log_of_the_power_ratio() -> None:
    """Signal 3**2 + 4**2 = 25, noise 0.5**2 = 0.25: a ratio of 100 is 20 dB."""
    assert sqnr(np.array([3.0, 4.0]), np.array([3.0, 4.5])) == pytest.approx(20.0)


def test_sqnr_at_its_edges() -> None:
    """What cannot be a finite number says which way."""
    zero, one = np.zeros(2), np.ones(2)

    assert sqnr(one, one) == math.inf
    assert sqnr(zero, zero) == math.inf
    assert sqnr(zero, one) == -math.inf
    assert math.isnan(SquaredError(math.nan, 1.0).sqnr_db)
    assert math.isnan(SquaredError(1.0, math.inf).sqnr_db)


def test_cosine_of_sums_is_the_cosine() -> None:
    """(1, 0) and (1, 1) stand at 45 degrees."""
    a, b = np.array([1.0, 0.0]), np.array([1.0, 1.0])

    assert SquaredError.of(a, b).cosine == pytest.approx(math.sqrt(0.5))
    assert SquaredError().cosine == 1.0
    assert SquaredError(0.0, 2.0, 2.0).cosine == 0.0


def test_top1_and_top5_count_as_argsort_does() -> None:
    """A tie goes to the lower class, as argmax has it; a NaN is never right."""
    logits = np.array(
        [
            [9, 1, 2, 3, 4, 5, 6],  # 0 is first
            [1, 9, 2, 3, 4, 5, 6],  # 0 is last
            [5, 5, 0, 0, 0, 0, 0],  # tie of 0 and 1
            [7, 6, 5, 4, 3, 2, 1],  # 4 is fifth
            [np.nan, 0, 0, 0, 0, 0, 0],
        ]
    )
    labels = np.array([0, 0, 1, 4, 0])

    assert METRICS["top1"].scores({"y": logits}, labels).tolist() == [1, 0, 0, 0, 0]
    assert METRICS["top5"].scores({"y": logits}, labels).tolist() == [1, 0, 1, 1, 0]
    assert [METRICS[n].better for n in ("top1", "top5")] == ["higher", "higher"]


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_a_label_that_is_no_class_is_refused(labels: list[int]) -> None:
    """It would be counted wrong in silence."""
    with pytest.raises(ValueError, match="labels must be from 0 to 2, saw") as caught:
        METRICS["top1"].scores({"y": np.zeros((2, 3))}, np.array(labels))

    assert str(caught.value) == f"labels must be from 0 to 2, saw {min(labels)} to {max(labels)}"


def test_outputs_that_are_no_class_scores_are_refused() -> None:
    """A map of boxes has no top-1."""
    with pytest.raises(ValueError, match="the first output must be") as caught:
        METRICS["top1"].scores({"y": np.zeros((2, 3, 4))}, np.array([0, 1]))

    assert str(caught.value) == "the first output must be [samples, classes], saw (2, 3, 4)"

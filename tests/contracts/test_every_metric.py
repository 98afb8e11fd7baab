"""What every metric promises, whoever wrote it: one number a sample, the same in any batch."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quant.metrics.metric import METRICS, Metric, score_batch

Outputs = Mapping[str, NDArray[Any]]
COUNT = 6
EVERY_METRIC = pytest.mark.parametrize("name", list(METRICS))


@dataclass(frozen=True)
class Case:
    """Outputs of one kind of network: the float network's, good ones, bad ones, and the labels."""

    exact: Outputs
    good: Outputs
    bad: Outputs
    labels: NDArray[np.int64]

    def reference(self, metric: Metric, rows: Any = slice(None)) -> Any:
        """Return the second argument of a metric for some of the samples."""
        return part(self.exact, rows) if metric.against_float else self.labels[rows]


def part(outputs: Outputs, rows: Any) -> dict[str, NDArray[Any]]:
    return {name: array[rows] for name, array in outputs.items()}


def classifier() -> Case:
    """Logits of 7 classes, with the label's far above the others; bad ones name another class."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 7, COUNT)
    logits = rng.normal(0, 1, (COUNT, 7)).astype(np.float32)
    logits[np.arange(COUNT), labels] += 20
    good = logits + rng.normal(0, 0.1, logits.shape).astype(np.float32)
    return Case({"y": logits}, {"y": good}, {"y": -logits}, labels)


def embedding() -> Case:
    rng = np.random.default_rng(2)
    exact = rng.normal(0, 1, (COUNT, 3, 16)).astype(np.float32)
    good = exact + rng.normal(0, 0.1, exact.shape).astype(np.float32)
    return Case({"y": exact}, {"y": good}, {"y": -exact}, np.zeros(COUNT, np.int64))


def detector() -> Case:
    """Three boxes a picture, given as corners, two of them above the threshold; bad ones are lost."""
    rng = np.random.default_rng(3)
    corner = rng.uniform(0, 20, (COUNT, 3, 2)) + np.array([[0, 0], [40, 40], [80, 0]])
    boxes = np.concatenate([corner, corner + rng.uniform(10, 20, corner.shape)], 2)
    scores = np.repeat([[[0.9, 0.02], [0.05, 0.8], [0.2, 0.01]]], COUNT, 0)
    exact = {"boxes": boxes.astype(np.float32), "scores": scores.astype(np.float32)}
    good = {**exact, "boxes": exact["boxes"] + np.float32(0.5)}
    bad = {"boxes": exact["boxes"] + np.float32(200), "scores": 1 - exact["scores"]}
    return Case(exact, good, bad, np.zeros(COUNT, np.int64))


CASES = {"classifier": classifier(), "embedding": embedding(), "detector": detector()}


def judged(metric: Metric) -> dict[str, Case]:
    """Return the kinds of network that a metric judges; it refuses the others with ValueError."""
    kinds = {}
    for kind, case in CASES.items():
        with suppress(ValueError):
            metric.scores(case.good, case.reference(metric))
            kinds[kind] = case
    return kinds


@EVERY_METRIC
def test_a_metric_says_its_unit_and_its_direction(name: str) -> None:
    """`quant list metrics`, the gate and the report print them."""
    metric = METRICS[name]

    assert metric.name == name
    assert metric.better in ("higher", "lower")
    assert metric.unit.strip()
    assert metric.about.strip()
    assert "\n" not in metric.unit + metric.about


@EVERY_METRIC
def test_a_metric_judges_a_kind_of_network_and_gives_one_number_a_sample(name: str) -> None:
    """Gates and intervals rest on single samples: a mean alone could not be resampled."""
    metric = METRICS[name]
    kinds = judged(metric)

    assert kinds, "it judges neither a classifier, nor an embedding, nor a detector"
    for case in kinds.values():
        scores = metric.scores(case.good, case.reference(metric))
        assert scores.shape == (COUNT,)
        assert scores.dtype == np.float64
        assert np.isfinite(scores).all()
        both = score_batch([metric], case.good, case.exact, case.labels, COUNT)
        np.testing.assert_array_equal(both[name], scores)


@EVERY_METRIC
def test_the_order_of_samples_and_the_batch_do_not_matter(name: str) -> None:
    """The same samples in other batches must give the same verdict."""
    metric = METRICS[name]
    order = np.random.default_rng(4).permutation(COUNT)
    for case in judged(metric).values():
        scores = metric.scores(case.good, case.reference(metric))
        turned = metric.scores(part(case.good, order), case.reference(metric, order))
        alone = [
            metric.scores(part(case.good, [i]), case.reference(metric, [i]))[0]
            for i in range(COUNT)
        ]

        np.testing.assert_array_equal(turned, scores[order])
        np.testing.assert_array_equal(alone, scores)


@EVERY_METRIC
def test_good_outputs_are_better_than_bad_ones_in_the_direction_that_it_names(name: str) -> None:
    """A gate that reads the direction the wrong way round would pass what is broken."""
    metric = METRICS[name]
    sign = 1 if metric.better == "higher" else -1
    for case in judged(metric).values():
        exact, good, bad = (
            sign * metric.scores(outputs, case.reference(metric)).mean()
            for outputs in (case.exact, case.good, case.bad)
        )

        assert exact >= good > bad


@EVERY_METRIC
def test_a_metric_changes_nothing_that_it_is_given(name: str) -> None:
    """Every metric of a run judges the same arrays."""
    metric = METRICS[name]
    for case in judged(metric).values():
        arrays = [*case.good.values(), *case.exact.values(), case.labels]
        before = [array.copy() for array in arrays]
        metric.scores(case.good, case.reference(metric))

        for array, copy in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, copy)


@EVERY_METRIC
def test_outputs_without_samples_or_with_other_ones_are_refused(name: str) -> None:
    """What it cannot judge is a ValueError whose text becomes the user's message."""
    metric = METRICS[name]
    single = {"y": np.asarray(3.0, np.float32)}
    with pytest.raises(ValueError, match=r"\w"):
        metric.scores(single, single if metric.against_float else np.zeros(1, np.int64))
    for case in judged(metric).values():
        with pytest.raises(ValueError, match=r"\w"):
            metric.scores(case.good, case.reference(metric, slice(2)))

"""The agreement of boxes, worked out by hand on boxes that a person can draw."""

import numpy as np
import pytest
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.compare.comparison import compare
from quant.graph.session import open_session
from quant.metrics.box_agreement import agreement, boxes_of
from quant.metrics.metric import METRICS
from tests.chosen import batch_of, prepared
from tests.models import conv_relu_net, image

F64 = NDArray[np.float64]
CORNERS = np.array([[[0, 0, 10, 10], [20, 20, 40, 40], [21, 20, 41, 40], [60, 60, 70, 80]]], float)
SCORES = np.array([[[0.9, 0.0], [0.0, 0.8], [0.0, 0.7], [0.1, 0.0]]])


def outputs(boxes: F64 = CORNERS, scores: F64 = SCORES) -> dict[str, F64]:
    return {"boxes": boxes, "scores": scores}


def test_a_network_agrees_with_itself() -> None:
    """Two boxes are found: the third is the second's neighbour, the fourth is too faint."""
    found = agreement(outputs(), outputs())

    assert (found.f1.tolist(), found.iou.tolist(), found.gap.tolist()) == ([1.0], [1.0], [0.0])


def test_a_box_that_moved_counts_by_its_overlap() -> None:
    """From [0, 10] to [2, 12]: 8 * 10 of 120 is shared, an IoU of 2 / 3; the other is as it was."""
    moved = CORNERS.copy()
    moved[0, 0, [0, 2]] += 2
    found = agreement(outputs(moved), outputs())

    assert found.f1.tolist() == [1.0]
    assert found.iou[0] == pytest.approx((2 / 3 + 1) / 2)


def test_a_box_that_is_lost_or_changes_its_class_is_no_match() -> None:
    """Precision and recall of one half each: F1 is one half."""
    faint, other = SCORES.copy(), SCORES.copy()
    faint[0, 0] = [0.4, 0]
    other[0, 0] = [0, 0.9]

    lost = agreement(outputs(scores=faint), outputs())
    assert lost.f1[0] == pytest.approx(2 * 1 / 3)  # one found of two
    assert lost.gap[0] == pytest.approx(0.5 / 4)  # 0.9 became 0.4, of four that are above 0.05
    assert agreement(outputs(scores=other), outputs()).f1[0] == pytest.approx(0.5)


def test_a_box_matches_once() -> None:
    """One box between two of the float network stands for one of them: 75 of 125 is shared."""
    want = np.array([[[0, 0, 10, 10], [5, 0, 15, 10]]], float)
    got = np.array([[[2.5, 0, 12.5, 10], [90, 90, 99, 99]]], float)
    scores, faint = np.array([[[0.9], [0.8]]]), np.array([[[0.9], [0.1]]])
    found = agreement(outputs(got, faint), outputs(want, scores))

    assert found.f1[0] == pytest.approx(2 * 1 / 3)
    assert found.iou[0] == pytest.approx(0.6 / 2)


def test_an_image_without_boxes_is_right_if_none_is_found() -> None:
    """Else a set of empty images would spoil the mean."""
    none = outputs(scores=SCORES * 0.1)

    assert agreement(none, none).f1.tolist() == [1.0]
    assert agreement(outputs(), none).f1.tolist() == [0.0]


def test_centre_and_size_are_distinguished_from_corners() -> None:
    """The same boxes in the other form agree as well; a large shift does not."""
    middle, size = (CORNERS[..., :2] + CORNERS[..., 2:]) / 2, CORNERS[..., 2:] - CORNERS[..., :2]
    centres = np.concatenate([middle, size], axis=2)
    moved = centres + np.array([2.0, 0, 0, 0]) * (np.arange(4) == 0)[:, None]
    found = agreement(outputs(moved), outputs(centres))

    assert found.iou[0] == pytest.approx((2 / 3 + 1) / 2)


def test_offsets_of_an_ssd_are_compared_anchor_by_anchor() -> None:
    """By decoding with an anchor of our own: the overlap of two boxes does not depend on it."""
    rng = np.random.default_rng(4)
    want = rng.normal(size=(1, 50, 4))
    got = want + 0.3 * rng.normal(size=want.shape)
    scores = np.full((1, 50, 1), 0.9)
    found = agreement(outputs(got, scores), outputs(want, scores))
    anchor = np.array([30.0, 70.0, 12.0, 25.0])  # centre and size, any

    def corners(offset: F64) -> F64:
        middle = anchor[:2] + 0.1 * offset[:, :2] * anchor[2:]
        half = anchor[2:] * np.exp(0.2 * offset[:, 2:]) / 2
        return np.concatenate([middle - half, middle + half], axis=1)

    a, b = corners(got[0]), corners(want[0])
    both = np.prod(
        np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None), axis=1
    )
    areas = [np.prod(x[:, 2:] - x[:, :2], axis=1) for x in (a, b)]
    overlap = both / (areas[0] + areas[1] - both)
    assert found.iou[0] == pytest.approx(overlap[overlap >= 0.5].sum() / 50)


def test_the_shapes_of_common_heads_are_known() -> None:
    """SSD, YOLOv8 and YOLOv5; a background class is dropped and logits become scores."""
    rng = np.random.default_rng(0)
    v8, v5 = rng.uniform(size=(2, 7, 100)), rng.uniform(size=(2, 100, 8))
    soft = rng.dirichlet(np.ones(3), (2, 9))

    assert boxes_of({"y": v8})[1].shape == (2, 100, 3)
    assert np.array_equal(boxes_of({"y": v5})[1], v5[:, :, 4:5] * v5[:, :, 5:])
    assert boxes_of({"s": soft, "b": np.zeros((2, 9, 4))})[1].shape == (2, 9, 2)
    logits = boxes_of({"b": np.zeros((1, 1, 4)), "s": np.array([[[0.0, -40.0]]])})[1]
    assert logits.tolist() == [[[0.5, pytest.approx(0, abs=1e-9)]]]


def test_a_network_without_boxes_is_refused() -> None:
    """By the sentence of the metric, at the first sample."""
    graph = prepared(conv_relu_net())
    session = open_session(graph.model, threads=1)
    with pytest.raises(InputError) as caught:
        compare(session, {}, [batch_of({"input": image()}, 2)], [METRICS["detections"]])

    assert str(caught.value) == (
        "metric 'detections': it cannot judge outputs of the shapes [(2, 10)]: boxes "
        "[N, A, 4] and scores [N, A, classes] are wanted, or one output of both, saw "
        "{'output': (2, 10)}. Choose another --metric."
    )


def test_embeddings_are_compared_sample_by_sample_and_without_labels() -> None:
    """The mean of the cosines, and not the cosine of everything: a loud sample must not hide one."""
    want = {"y": np.array([[1.0, 0.0], [100.0, 0.0]])}
    got = {"y": np.array([[1.0, 1.0], [100.0, 0.0]])}

    assert METRICS["cosine"].scores(got, want) == pytest.approx([np.sqrt(0.5), 1.0])
    graph = prepared(conv_relu_net())
    session = open_session(graph.model, threads=1)
    found = compare(
        session, {"same": session}, [batch_of({"input": image()}, 2)], [METRICS["cosine"]]
    )
    assert found["same"].scores == {"cosine": 1.0}
    assert found["same"].float_scores == {"cosine": 1.0}

"""How far the boxes of two networks on one image agree, the float network's and a candidate's.

Which outputs are boxes and scores is read off their shapes: `[N, A, 4]` and `[N, A, C]` (SSD and
its like), one `[N, 4 + C, A]` with fewer rows than anchors (YOLOv8), or one `[N, A, 5 + C]` with an
objectness (YOLOv5). Boxes are corners, or centre and size, whichever the float network's detections
look like. Boxes that are neither are an SSD's offsets before its decoding: those are compared anchor
by anchor, for which the anchors need not be known, since intersection over union does not change
when an axis is moved or scaled: centre 0.1 * offset, size exp(0.2 * offset) (Liu et al. 2016, "SSD").
"""

__all__ = ["Agreement", "agreement", "boxes_of"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

SCORE_THRESHOLD = 0.5
"""The score from which a box counts as a detection, as most detectors are deployed."""
NMS_IOU = 0.45
"""Intersection over union from which two boxes of a class are one (non-maximum suppression)."""
MATCH_IOU = 0.5
"""Intersection over union from which boxes of two networks are the same object (PASCAL VOC)."""
MAX_BOXES = 300
"""Boxes that are kept of an image, by score, as COCO's tools and ONNX exports cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Two networks' boxes on a batch; all float64 `[N]`.

    Attributes:
        f1: `2 * matched / (boxes of one + boxes of the other)`; 1 where neither has any.
        iou: Mean intersection over union of the float network's boxes with their match, 0 for one
            that has none; 1 where it has no box.
        gap: Mean absolute difference of the best score of each anchor, over the anchors that either
            network gives more than 0.05.
    """

    f1: F64
    iou: F64
    gap: F64


def agreement(outputs: Mapping[str, NDArray[Any]], reference: Mapping[str, Any]) -> Agreement:
    """Compare the boxes of a batch, image by image.

    Args:
        outputs: Those of the network that is judged, by name.
        reference: Those of the float network.

    Raises:
        ValueError: No output has the shape of boxes and scores.
    """
    candidate, float_boxes = boxes_of(outputs), boxes_of(reference)
    form = _form(*float_boxes)
    rows = [
        _image(_decoded(a, form), s, _decoded(b, form), t, anchored=form == "offsets")
        for (a, s), (b, t) in zip(
            zip(*candidate, strict=True), zip(*float_boxes, strict=True), strict=True
        )
    ]
    f1, iou, gap = np.array(rows, np.float64).reshape(-1, 3).T
    return Agreement(f1=f1, iou=iou, gap=gap)


def boxes_of(outputs: Mapping[str, NDArray[Any]]) -> tuple[F64, F64]:
    """Return boxes float64 `[N, A, 4]` and scores `[N, A, classes]`, from 0 to 1.

    Scores that sum to 1 have a background class in front, which is dropped; numbers outside of 0 to
    1 are taken for logits.

    Raises:
        ValueError: No output has the shape of boxes and scores.
    """
    cubes = [np.asarray(x, np.float64) for x in outputs.values() if x.ndim == 3]
    for boxes in cubes:
        others = [s for s in cubes if s is not boxes and s.shape[:2] == boxes.shape[:2]]
        if boxes.shape[2] == 4 and others:
            return boxes, _scores(others[0])
    if len(cubes) == 1 and min(cubes[0].shape[1:]) > 4:
        cube = cubes[0]
        if cube.shape[1] < cube.shape[2]:
            return cube[:, :4].transpose(0, 2, 1), _scores(cube[:, 4:].transpose(0, 2, 1))
        return cube[:, :, :4], _scores(cube[:, :, 4:5]) * _scores(cube[:, :, 5:])
    shapes = {name: x.shape for name, x in outputs.items()}
    raise ValueError(
        f"boxes [N, A, 4] and scores [N, A, classes] are wanted, or one output of both, saw {shapes}"
    )


def _scores(x: F64) -> F64:
    if x.size and (x.min() < -1e-3 or x.max() > 1 + 1e-3):
        return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))), np.float64)
    if x.shape[2] > 1 and np.allclose(x.sum(axis=2), 1, atol=1e-2):
        return x[:, :, 1:]
    return x


def _form(boxes: F64, scores: F64) -> str:
    """Return "corners", "centres" (with sizes) or "offsets", by the boxes above the threshold."""
    detections = boxes[scores.max(axis=2, initial=0.0) > SCORE_THRESHOLD]
    if not len(detections):
        return "corners"
    if (
        np.mean((detections[:, 2] >= detections[:, 0]) & (detections[:, 3] >= detections[:, 1]))
        > 0.9
    ):
        return "corners"
    return "centres" if np.mean((detections[:, 2:] > 0).all(axis=1)) > 0.9 else "offsets"


def _decoded(boxes: F64, form: str) -> F64:
    """Return boxes of any form as corners, float64 `[..., 4]`."""
    if form == "corners":
        return boxes
    middle, half = boxes[..., :2], boxes[..., 2:] / 2
    if form == "offsets":
        middle, half = 0.1 * middle, np.exp(0.2 * np.clip(boxes[..., 2:], -50, 50)) / 2
    return np.concatenate([middle - half, middle + half], axis=-1)


def _image(
    boxes: F64, scores: F64, reference_boxes: F64, reference_scores: F64, *, anchored: bool
) -> tuple[float, float, float]:
    """Return F1, IoU and gap of one image."""
    a, b = (s.max(axis=1, initial=0.0) for s in (scores, reference_scores))
    scored = (a > 0.05) | (b > 0.05)
    gap = float(np.abs(a - b)[scored].mean()) if scored.any() else 0.0
    if anchored:
        own, theirs = a > SCORE_THRESHOLD, b > SCORE_THRESHOLD
        overlap = _iou(boxes[own & theirs], reference_boxes[own & theirs])
        matches = overlap[overlap >= MATCH_IOU].tolist()
        counts = int(own.sum()), int(theirs.sum())
    else:
        detections, expected = (
            _after_nms(boxes, scores),
            _after_nms(reference_boxes, reference_scores),
        )
        matches, counts = _matched(detections, expected), (len(detections[0]), len(expected[0]))
    f1 = 2 * len(matches) / sum(counts) if sum(counts) else 1.0
    return f1, sum(matches) / counts[1] if counts[1] else 1.0, gap


def _after_nms(boxes: F64, scores: F64) -> tuple[F64, NDArray[np.int64]]:
    """Return the boxes that are left after the threshold and non-maximum suppression, and classes."""
    best, kind = scores.max(axis=1, initial=0.0), scores.argmax(axis=1)
    order = np.argsort(-best, kind="stable")
    order = order[best[order] > SCORE_THRESHOLD][: 4 * MAX_BOXES]
    chosen: list[int] = []
    for i in order.tolist():
        same = [j for j in chosen if kind[j] == kind[i]]
        if not same or _iou(boxes[i], boxes[same]).max() <= NMS_IOU:
            chosen.append(i)
        if len(chosen) == MAX_BOXES:
            break
    return boxes[chosen], kind[chosen]


def _iou(box: F64, others: F64) -> F64:
    """Return the intersection over union of a box, or of each of `[K, 4]`, with each of `[K, 4]`."""
    low, high = np.maximum(box[..., :2], others[:, :2]), np.minimum(box[..., 2:], others[:, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=1)
    area = np.prod(np.clip(others[:, 2:] - others[:, :2], 0, None), axis=1)
    own = np.prod(np.clip(box[..., 2:] - box[..., :2], 0, None), axis=-1)
    return np.asarray(both / np.maximum(area + own - both, 1e-12), np.float64)


def _matched(
    detections: tuple[F64, NDArray[np.int64]], expected: tuple[F64, NDArray[np.int64]]
) -> list[float]:
    """Return the IoU of each pair of the same class, each box used once, the best score first."""
    free = list(range(len(detections[0])))
    matches = []
    for box, kind in zip(*expected, strict=True):
        same = [i for i in free if detections[1][i] == kind]
        if not same:
            continue
        overlap = _iou(box, detections[0][same])
        best = int(overlap.argmax())
        if overlap[best] >= MATCH_IOU:
            matches.append(float(overlap[best]))
            free.remove(same[best])
    return matches

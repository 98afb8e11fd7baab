"""Detections: how far two sets of boxes of one image agree, the float network's and another's.

Which outputs are boxes and scores is read off their shapes: `[N, A, 4]` and `[N, A, C]` (SSD and
its like), one `[N, 4 + C, A]` with fewer rows than anchors (YOLOv8), or one `[N, A, 5 + C]` with an
objectness (YOLOv5). Boxes are corners, or centre and size, whichever the float network's found boxes
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

THRESHOLD = 0.5
"""A score from which a box counts as found, as most detectors are deployed."""
OVERLAP = 0.45
"""Intersection over union from which two boxes of a class are one (non-maximum suppression)."""
MATCH = 0.5
"""And from which two boxes of two networks are the same (PASCAL VOC)."""
MOST = 300
"""Boxes of an image, by score, as COCO's tools and ONNX exports cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Two networks' boxes on a batch; all float64 `[N]`.

    Attributes:
        f1: `2 * matched / (found by one + found by the other)`; 1 where neither found any.
        iou: Mean intersection over union of the float network's boxes with their match, 0 for one
            that has none; 1 where it found none.
        gap: Mean absolute difference of the best score of each anchor, over the anchors that either
            network gives more than 0.05.
    """

    f1: F64
    iou: F64
    gap: F64


def agreement(outputs: Mapping[str, NDArray[Any]], reference: Mapping[str, Any]) -> Agreement:
    """Compare the boxes of a batch, image by image.

    Args:
        outputs: Of the network that is judged, by name.
        reference: Of the float network.

    Raises:
        ValueError: No output has the shape of boxes and scores.
    """
    mine, theirs = boxes_of(outputs), boxes_of(reference)
    form = _form(*theirs)
    rows = [
        _image(_decoded(a, form), s, _decoded(b, form), t, anchored=form == "offsets")
        for (a, s), (b, t) in zip(zip(*mine, strict=True), zip(*theirs, strict=True), strict=True)
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
        one = cubes[0]
        if one.shape[1] < one.shape[2]:
            return one[:, :4].transpose(0, 2, 1), _scores(one[:, 4:].transpose(0, 2, 1))
        return one[:, :, :4], _scores(one[:, :, 4:5]) * _scores(one[:, :, 5:])
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
    """Tell corners, centres with sizes, and offsets, by the boxes that are found."""
    found = boxes[scores.max(axis=2, initial=0.0) > THRESHOLD]
    if not len(found):
        return "corners"
    if np.mean((found[:, 2] >= found[:, 0]) & (found[:, 3] >= found[:, 1])) > 0.9:
        return "corners"
    return "centres" if np.mean((found[:, 2:] > 0).all(axis=1)) > 0.9 else "offsets"


def _decoded(boxes: F64, form: str) -> F64:
    """Return corners."""
    if form == "corners":
        return boxes
    middle, half = boxes[..., :2], boxes[..., 2:] / 2
    if form == "offsets":
        middle, half = 0.1 * middle, np.exp(0.2 * np.clip(boxes[..., 2:], -50, 50)) / 2
    return np.concatenate([middle - half, middle + half], axis=-1)


def _image(
    boxes: F64, scores: F64, want: F64, wanted: F64, *, anchored: bool
) -> tuple[float, float, float]:
    """Return F1, IoU and gap of one image."""
    a, b = (s.max(axis=1, initial=0.0) for s in (scores, wanted))
    seen = (a > 0.05) | (b > 0.05)
    gap = float(np.abs(a - b)[seen].mean()) if seen.any() else 0.0
    if anchored:
        mine, theirs = a > THRESHOLD, b > THRESHOLD
        overlap = _iou(boxes[mine & theirs], want[mine & theirs])
        matches = overlap[overlap >= MATCH].tolist()
        counts = int(mine.sum()), int(theirs.sum())
    else:
        got, found = _kept(boxes, scores), _kept(want, wanted)
        matches, counts = _matched(got, found), (len(got[0]), len(found[0]))
    f1 = 2 * len(matches) / sum(counts) if sum(counts) else 1.0
    return f1, sum(matches) / counts[1] if counts[1] else 1.0, gap


def _kept(boxes: F64, scores: F64) -> tuple[F64, NDArray[np.int64]]:
    """Return the boxes that are left after the threshold and non-maximum suppression, and classes."""
    best, kind = scores.max(axis=1, initial=0.0), scores.argmax(axis=1)
    order = np.argsort(-best, kind="stable")
    order = order[best[order] > THRESHOLD][: 4 * MOST]
    kept: list[int] = []
    for i in order.tolist():
        same = [j for j in kept if kind[j] == kind[i]]
        if not same or _iou(boxes[i], boxes[same]).max() <= OVERLAP:
            kept.append(i)
        if len(kept) == MOST:
            break
    return boxes[kept], kind[kept]


def _iou(one: F64, many: F64) -> F64:
    """Return the intersection over union of a box, or of each of `[K, 4]`, with each of `[K, 4]`."""
    low, high = np.maximum(one[..., :2], many[:, :2]), np.minimum(one[..., 2:], many[:, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=1)
    area = np.prod(np.clip(many[:, 2:] - many[:, :2], 0, None), axis=1)
    own = np.prod(np.clip(one[..., 2:] - one[..., :2], 0, None), axis=-1)
    return np.asarray(both / np.maximum(area + own - both, 1e-12), np.float64)


def _matched(
    got: tuple[F64, NDArray[np.int64]], found: tuple[F64, NDArray[np.int64]]
) -> list[float]:
    """Return the IoU of each pair of the same class, each box used once, the best score first."""
    free = list(range(len(got[0])))
    matches = []
    for box, kind in zip(*found, strict=True):
        same = [i for i in free if got[1][i] == kind]
        if not same:
            continue
        overlap = _iou(box, got[0][same])
        best = int(overlap.argmax())
        if overlap[best] >= MATCH:
            matches.append(float(overlap[best]))
            free.remove(same[best])
    return matches

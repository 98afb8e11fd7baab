"""How far a detector's boxes agree with the float network's: found again, placed, and scored."""

__all__: list[str] = []

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.metrics.box_agreement import agreement
from quant.metrics.metric import METRICS, Metric

Array = NDArray[Any]


def _agreement(
    outputs: Mapping[str, Array], reference: Mapping[str, Array]
) -> dict[str, NDArray[np.float64]]:
    """Return the three scores of each sample; boxes are decoded and matched once for all."""
    boxes = agreement(outputs, reference)
    return {"f1": boxes.f1, "iou": boxes.iou, "gap": boxes.gap}


for _name, _part, _unit, _better, _about in (
    ("detections", "f1", "F1 against float", "higher", "boxes of the float network found again"),
    (
        "boxes",
        "iou",
        "mean IoU with float",
        "higher",
        "how well the boxes lie where float has them",
    ),
    ("score_gap", "gap", "score", "lower", "how far box scores are from the float network's"),
):
    METRICS.add(_name)(
        Metric(
            name=_name,
            unit=_unit,
            better=_better,  # type: ignore[arg-type]
            score=_agreement,
            part=_part,
            against_float=True,
            about=_about,
        )
    )

"""The measures that a gate can limit, each with its unit, its direction and its source."""

__all__ = ["MEASURES", "LimitKind", "with_unit"]

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitKind:
    """One measure that a gate can limit.

    Attributes:
        name: Name in the gate's file.
        source: What is measured. "samples": the answers to each sample, decided statistically;
            "layers": each row of the layer table; "run": one number of the whole run.
        bounded: "max" or "min": the side on which the measure is limited.
        unit: Unit of the printed number; "points" and "%" are stored as shares from 0 to 1.
        meaning: One line.
        missing: What to do where the measure was not taken.
    """

    name: str
    source: Literal["samples", "layers", "run"]
    bounded: Literal["max", "min"]
    unit: str
    meaning: str
    missing: str = "Run quant calibrate again."


GIVE_LABELS = "Give --labels."
UPDATE_BASELINE = "Write the baseline again with --update-baseline."

_ROWS = (
    LimitKind(
        name="accuracy_drop",
        source="samples",
        bounded="max",
        unit="points",
        meaning="the float model's score minus the quantized model's, on the same samples",
        missing=GIVE_LABELS,
    ),
    LimitKind(
        name="accuracy",
        source="samples",
        bounded="min",
        unit="%",
        meaning="the quantized model's score",
        missing=GIVE_LABELS,
    ),
    LimitKind(
        name="agreement",
        source="samples",
        bounded="min",
        unit="%",
        meaning="share of samples on which float and quantized model name the same class",
    ),
    LimitKind(
        name="sqnr_db",
        source="samples",
        bounded="min",
        unit="dB",
        meaning="signal-to-quantization-noise ratio at the worst output",
    ),
    LimitKind(
        name="layer_sqnr_db",
        source="layers",
        bounded="min",
        unit="dB",
        meaning="SQNR at the network's output with only this layer quantized",
    ),
    LimitKind(
        name="layer_cumulative_db",
        source="layers",
        bounded="min",
        unit="dB",
        meaning="SQNR at the layer's own output with all layers quantized",
    ),
    LimitKind(
        name="size_mb",
        source="run",
        bounded="max",
        unit="MB",
        meaning="size of the deployed file, 10^6 bytes",
    ),
    LimitKind(
        name="size_ratio",
        source="run",
        bounded="max",
        unit="",
        meaning="size of the deployed file divided by that of the float model",
    ),
    LimitKind(
        name="latency_ms",
        source="run",
        bounded="max",
        unit="ms",
        meaning="measured time of one sample on this machine",
        missing="It is measured where the runtime of the target is installed.",
    ),
    LimitKind(
        name="speedup",
        source="run",
        bounded="min",
        unit="times",
        meaning="measured time of the float model divided by that of the quantized model",
        missing="It is measured where the runtime of the target is installed.",
    ),
    LimitKind(
        name="predicted_ms",
        source="run",
        bounded="max",
        unit="ms",
        meaning="time of one sample as the target's cost table predicts it",
        missing="It needs a target with a cost table.",
    ),
    LimitKind(
        name="integer_share",
        source="run",
        bounded="min",
        unit="%",
        meaning="share of the weighted nodes that the runtime executes in integers",
        missing="It is measured for --target onnxruntime only.",
    ),
    LimitKind(
        name="check_errors",
        source="run",
        bounded="max",
        unit="",
        meaning="errors of the target's check",
    ),
    LimitKind(
        name="check_warnings",
        source="run",
        bounded="max",
        unit="",
        meaning="warnings of the target's check",
    ),
    LimitKind(
        name="baseline_accuracy_drop",
        source="samples",
        bounded="max",
        unit="points",
        meaning="the baseline's score minus this run's, both quantized, on the same samples",
        missing=UPDATE_BASELINE,
    ),
    LimitKind(
        name="baseline_sqnr_loss_db",
        source="run",
        bounded="max",
        unit="dB",
        meaning="the baseline's SQNR minus this run's",
        missing=UPDATE_BASELINE,
    ),
    LimitKind(
        name="baseline_layer_loss_db",
        source="layers",
        bounded="max",
        unit="dB",
        meaning="a layer's isolated SQNR in the baseline minus that in this run",
        missing=UPDATE_BASELINE,
    ),
    LimitKind(
        name="baseline_size_growth",
        source="run",
        bounded="max",
        unit="%",
        meaning="growth of the deployed file relative to the baseline's",
        missing=UPDATE_BASELINE,
    ),
)

MEASURES: Mapping[str, LimitKind] = MappingProxyType({row.name: row for row in _ROWS})


def with_unit(value: float, unit: str) -> str:
    """Return a number with its unit, for people.

    >>> with_unit(0.0125, "points")
    '1.25 points'
    >>> with_unit(0.01, "points")
    '1 point'
    >>> with_unit(float("nan"), "dB")
    'nothing'
    """
    if math.isnan(value):
        return "nothing"
    if unit in ("points", "%"):
        value *= 100
        unit = "point" if unit == "points" and value == 1 else unit
    text = f"{value:.2f}" if abs(value) < 1000 and unit in ("points", "%") else f"{value:.4g}"
    text = text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
    return f"{'0' if text == '-0' else text} {unit}".rstrip()

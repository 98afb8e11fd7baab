"""Measures: what a limit can be about, each with its unit and its direction."""

__all__ = ["MEASURES", "LimitKind", "shown"]

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitKind:
    """One number that can be limited.

    Attributes:
        name: As in a gate's file.
        kind: Where it comes from. "samples": decided statistically on the answers to each sample;
            "layers": of each row of the layer table; "number": of the run as a whole.
        bounded: "max" or "min": the side on which it is limited.
        unit: "points" and "%" are shown a hundred times as great as they are stored.
        about: One line.
        missing: What to do where it was not measured.
    """

    name: str
    kind: Literal["samples", "layers", "number"]
    bounded: Literal["max", "min"]
    unit: str
    about: str
    missing: str = "Run quant calibrate again."


LABELS = "Give --labels."
KEPT = "Write the baseline anew with --update-baseline."

_ROWS = (
    LimitKind(
        name="accuracy_drop",
        kind="samples",
        bounded="max",
        unit="points",
        about="float's score less the quantized one's, on the same samples",
        missing=LABELS,
    ),
    LimitKind(
        name="accuracy",
        kind="samples",
        bounded="min",
        unit="%",
        about="the quantized network's own score",
        missing=LABELS,
    ),
    LimitKind(
        name="agreement",
        kind="samples",
        bounded="min",
        unit="%",
        about="share of samples on which float and quantized name the same class",
    ),
    LimitKind(
        name="sqnr_db",
        kind="samples",
        bounded="min",
        unit="dB",
        about="signal-to-quantization-noise ratio at the worst output",
    ),
    LimitKind(
        name="layer_sqnr_db",
        kind="layers",
        bounded="min",
        unit="dB",
        about="SQNR at the network's output with only this layer quantized",
    ),
    LimitKind(
        name="layer_cumulative_db",
        kind="layers",
        bounded="min",
        unit="dB",
        about="SQNR at the layer's own output with all layers quantized",
    ),
    LimitKind(
        name="size_mb",
        kind="number",
        bounded="max",
        unit="MB",
        about="the deployed file, 10^6 bytes",
    ),
    LimitKind(
        name="size_ratio",
        kind="number",
        bounded="max",
        unit="",
        about="the deployed file's size as a share of the float one's",
    ),
    LimitKind(
        name="latency_ms",
        kind="number",
        bounded="max",
        unit="ms",
        about="measured time of a sample on this machine",
        missing="It is measured where the target's runtime is at hand.",
    ),
    LimitKind(
        name="speedup",
        kind="number",
        bounded="min",
        unit="times",
        about="float's measured time by the quantized one's",
        missing="It is measured where the target's runtime is at hand.",
    ),
    LimitKind(
        name="predicted_ms",
        kind="number",
        bounded="max",
        unit="ms",
        about="the time that the target's table predicts for a sample",
        missing="It is there where the target has a cost table.",
    ),
    LimitKind(
        name="integer_share",
        kind="number",
        bounded="min",
        unit="%",
        about="share of the weighted nodes that the runtime executes in integers",
        missing="It is counted for --target onnxruntime.",
    ),
    LimitKind(
        name="check_errors",
        kind="number",
        bounded="max",
        unit="",
        about="errors that the target's check found",
    ),
    LimitKind(
        name="check_warnings",
        kind="number",
        bounded="max",
        unit="",
        about="warnings that the target's check found",
    ),
    LimitKind(
        name="baseline_accuracy_drop",
        kind="samples",
        bounded="max",
        unit="points",
        about="the baseline's score less today's, both quantized, on the same samples",
        missing=KEPT,
    ),
    LimitKind(
        name="baseline_sqnr_loss_db",
        kind="number",
        bounded="max",
        unit="dB",
        about="the baseline's SQNR less today's",
        missing=KEPT,
    ),
    LimitKind(
        name="baseline_layer_loss_db",
        kind="layers",
        bounded="max",
        unit="dB",
        about="a layer's isolated SQNR in the baseline less today's",
        missing=KEPT,
    ),
    LimitKind(
        name="baseline_size_growth",
        kind="number",
        bounded="max",
        unit="%",
        about="growth of the deployed file as a share of the baseline's",
        missing=KEPT,
    ),
)

MEASURES: Mapping[str, LimitKind] = MappingProxyType({row.name: row for row in _ROWS})


def shown(value: float, unit: str) -> str:
    """Return a number with its unit, as a person reads it.

    >>> shown(0.0125, "points")
    '1.25 points'
    >>> shown(0.01, "points")
    '1 point'
    >>> shown(float("nan"), "dB")
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

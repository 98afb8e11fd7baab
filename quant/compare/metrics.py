"""Metrics: how far two tensors are apart, and how good a network's answers are.

A metric's name is not its meaning, so unit and direction are fields. To add one: one function and
one line at the end of this file, or `--metric module:function`.
"""

__all__ = ["METRICS", "Metric", "cosine", "sqnr", "sqnr_of_sums"]

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quant.common.registry import Registry
from quant.compare.detections import agreement

Array = NDArray[Any]
Scores = NDArray[np.float64]


def sqnr_of_sums(signal: float, noise: float) -> float:
    """Return 10 * log10(signal / noise) in dB from two sums of squares; higher is better.

    +inf without noise, -inf for noise on a silent signal, nan if either is not finite.

    >>> sqnr_of_sums(100.0, 1.0)
    20.0
    """
    if not (math.isfinite(signal) and math.isfinite(noise)):
        return math.nan
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def sqnr(reference: Array, simulated: Array) -> float:
    """Return the signal-to-quantization-noise ratio in dB; higher is better.

    `10 * log10(sum(reference**2) / sum((reference - simulated)**2))`, in float64, both of one
    shape. +inf when the tensors are equal, -inf when the reference is all zeros and they differ.

    >>> sqnr(np.array([3.0, 4.0]), np.array([3.0, 3.5]))
    20.0
    """
    wide = np.asarray(reference, np.float64)
    noise = wide - np.asarray(simulated, np.float64)
    return sqnr_of_sums(float(np.sum(wide**2)), float(np.sum(noise**2)))


def cosine(signal: float, other: float, noise: float) -> float:
    """Return the cosine of two tensors from sums of squares: theirs and their difference's.

    `(signal + other - noise) / (2 * sqrt(signal * other))`, 1 is best. 1 for two silent tensors,
    0 for one.

    >>> cosine(25.0, 25.0, 0.0)
    1.0
    """
    if signal <= 0 or other <= 0:
        return 1.0 if signal == other else 0.0
    return max(-1.0, min(1.0, (signal + other - noise) / (2 * math.sqrt(signal * other))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One judgement of a network's answers.

    Attributes:
        name: As on the command line.
        unit: What the mean is in.
        better: Which direction is good.
        score: (outputs by name `[samples, ...]`, labels int64 `[samples]`) -> float64 `[samples]`,
            one number for each sample; the metric is their mean.
        against_float: Its second argument is not labels, which it does without, but the float
            network's outputs by name.
    """

    name: str
    unit: str
    better: Literal["higher", "lower"]
    score: Callable[[Mapping[str, Array], Any], Scores]
    against_float: bool = False


METRICS: Registry[Metric] = Registry("metric", "quant.metrics")


def _within(outputs: Mapping[str, Array], labels: Array, most: int) -> Scores:
    """Score 1 where fewer than `most` classes beat the labelled one, over the first output."""
    logits = next(iter(outputs.values()))
    if logits.ndim != 2 or len(logits) != len(labels):
        raise ValueError(f"the first output must be [samples, classes], saw {logits.shape}")
    if np.any((labels < 0) | (labels >= logits.shape[1])):
        raise ValueError(
            f"labels must be from 0 to {logits.shape[1] - 1}, saw {labels.min()} to {labels.max()}"
        )
    own = np.take_along_axis(logits, np.asarray(labels, np.int64)[:, None], axis=1)
    better = np.count_nonzero(logits > own, axis=1)
    ties_before = np.count_nonzero(
        (logits == own) & (np.arange(logits.shape[1]) < np.asarray(labels)[:, None]), axis=1
    )
    return np.asarray((better + ties_before < most) & np.isfinite(own[:, 0]), np.float64)


def _top1(outputs: Mapping[str, Array], labels: Array) -> Scores:
    return _within(outputs, labels, 1)


def _top5(outputs: Mapping[str, Array], labels: Array) -> Scores:
    return _within(outputs, labels, 5)


def _cosine(outputs: Mapping[str, Array], reference: Mapping[str, Array]) -> Scores:
    """Return each sample's cosine with float, of the worst output: what embeddings are compared by."""
    found = []
    for name, want in reference.items():
        if want.dtype.kind == "f" and want.ndim:
            a, b = (x.reshape(len(want), -1).astype(np.float64) for x in (want, outputs[name]))
            sums = [np.einsum("ij,ij->i", x, y) for x, y in ((a, a), (b, b), (a - b, a - b))]
            found.append([cosine(*row) for row in np.stack(sums, axis=1).tolist()])
    if not found:
        raise ValueError("one output must be floats, with an axis of samples")
    return np.asarray(np.min(found, axis=0), np.float64)


def _part(name: str) -> Callable[[Mapping[str, Array], Any], Scores]:
    return lambda outputs, reference: np.asarray(
        getattr(agreement(outputs, reference), name), np.float64
    )


for _name, _unit, _better, _score in (
    ("cosine", "cosine with float", "higher", _cosine),
    ("detections", "F1 against float", "higher", _part("f1")),
    ("boxes", "mean IoU with float", "higher", _part("iou")),
    ("score_gap", "score", "lower", _part("gap")),
):
    METRICS.add(_name)(
        Metric(name=_name, unit=_unit, better=_better, score=_score, against_float=True)  # type: ignore[arg-type]
    )
METRICS.add("top1")(Metric(name="top1", unit="share", better="higher", score=_top1))
METRICS.add("top5")(Metric(name="top5", unit="share", better="higher", score=_top5))

"""A layer as JSON for the report: its errors, causes, histograms, channels and weights."""

__all__ = ["LOSSLESS", "layer_json", "number"]

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.analysis.analyse import LayerAnalysis
from quant.analysis.layer_error import LayerError
from quant.causes.cause import KINDS
from quant.choose.grid_fit import InputStats
from quant.graph.layers import source_of
from quant.graph.prepared_graph import Graph
from quant.metrics.squared_error import SquaredError
from quant.profile.statistics import Profile, TensorProfile
from quant.results.saved_run import SavedTarget

LOSSLESS = 999.0
"""Stands for an infinite SQNR, which JSON cannot express."""
BARS = 72
"""Bars of a histogram."""
CHANNELS = 96
"""Channels that the page shows one by one; more channels are put into buckets."""
WORST = 5
"""Channels that are listed by number."""

F32 = NDArray[np.float32]


def number(value: float, digits: int = 4) -> float | None:
    """Return a number with few digits; None for nan, LOSSLESS for infinity."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return math.copysign(LOSSLESS, value)
    return float(f"{value:.{digits}g}")


def layer_json(
    target: SavedTarget, row: LayerError, share: float | None, only: str
) -> dict[str, Any]:
    """Return a layer's part of the page's data.

    Args:
        target: The target of the run, with its graph, profile, analysis and causes.
        row: The layer's row of the layer table.
        share: The layer's share of the noise at the outputs; None where it was not measured.
        only: Name of the target that rules are restricted to; "" for no restriction.
    """
    content: dict[str, Any] = {
        "precision": row.precision,
        "iso": number(row.isolated_sqnr_db),
        "cum": number(row.cumulative_sqnr_db),
        "cos": number(row.cosine, 6),
        "wsq": number(row.weight_sqnr_db),
        "sat": number(row.saturation),
        "share": number(share) if share is not None else None,
        "because": row.because,
        "causes": [
            {
                "kind": c.kind,
                "title": KINDS[c.kind],
                "evidence": c.evidence,
                "remedy": c.remedy,
                "recipe": c.recipe(only),
            }
            for c in target.causes.get(row.layer) or []
        ],
    }
    analysis = target.analysis.layers.get(row.layer)
    if analysis is not None:
        content |= _measured(analysis, target.graph, target.profile)
    return content


def _measured(analysis: LayerAnalysis, graph: Graph, profile: Profile) -> dict[str, Any]:
    content: dict[str, Any] = {
        "loc": number(analysis.local_sqnr_db),
        "wdb": number(analysis.weight_db),
        "adb": number(analysis.activation_db),
        "wshare": number(analysis.weight_share),
        "img": [_tenths(x) for x in analysis.isolated_by_image],
        "cimg": [_tenths(x) for x in analysis.cumulative_by_image],
        "channels": _channels(analysis),
        "inputs": [_input(stats, graph, profile) for stats in analysis.inputs],
    }
    if analysis.weight is not None:
        low, high = (_buckets(x, np.max) for x in (-analysis.weight.low, analysis.weight.high))
        content["weight"] = {
            "n": int(analysis.weight.low.size),
            "scales": analysis.weight.scales,
            "dead": analysis.weight.dead,
            "spread": number(analysis.weight.spread, 3),
            "peak": number(analysis.weight.peak, 3),
            "low": [number(-float(x), 3) for x in low],
            "high": [number(float(x), 3) for x in high],
        }
    return content


def _tenths(value: float) -> float | None:
    if math.isnan(value):
        return None
    return round(float(value), 1) if math.isfinite(value) else math.copysign(LOSSLESS, value)


def _channels(analysis: LayerAnalysis) -> dict[str, Any]:
    """Return each channel's SQNR and its share of the layer's noise."""
    total = float(analysis.noise.sum())
    pairs = zip(analysis.signal.tolist(), analysis.noise.tolist(), strict=True)
    decibels = np.array([SquaredError(s, n).sqnr_db if s > 0 else np.nan for s, n in pairs])
    shares = analysis.noise / total if total > 0 else np.zeros_like(analysis.noise)
    order = np.argsort(-shares, kind="stable")[:WORST]
    worst = [[int(c), number(float(shares[c]), 3), number(float(decibels[c]), 3)] for c in order]
    return {
        "n": int(analysis.noise.size),
        "silent": int(np.count_nonzero(analysis.signal <= 0)),
        "db": [_tenths(x) for x in _buckets(decibels, _least)],
        "share": [number(float(x), 3) for x in _buckets(shares, np.sum)],
        "worst": worst if analysis.noise.size > 1 else [],
    }


def _least(values: NDArray[Any]) -> float:
    return float(np.nanmin(values)) if not np.isnan(values).all() else math.nan


def _buckets(values: NDArray[Any], reduce: Any) -> list[float]:
    """Return at most CHANNELS numbers, each the reduction of neighbouring values."""
    parts = np.array_split(values, min(len(values), CHANNELS)) if len(values) else []
    return [float(reduce(part)) for part in parts]


def _input(stats: InputStats, graph: Graph, profile: Profile) -> dict[str, Any]:
    names = ("low", "high", "grid_low", "grid_high", "step", "saturated", "saturation_noise")
    content: dict[str, Any] = {"tensor": stats.tensor, "maker": stats.maker}
    content |= {k: number(getattr(stats, k), 5) for k in (*names, "used", "outlier", "spread")}
    content |= {"channels": stats.channels, "dead": stats.dead}
    source = source_of(graph, stats.tensor) if stats.tensor in graph.values else stats.tensor
    tensor_profile = profile.tensors.get(source)
    if tensor_profile is not None:
        content["hist"] = _histogram(tensor_profile, stats)
    return content


def _histogram(tensor_profile: TensorProfile, stats: InputStats) -> dict[str, Any]:
    """Return the counts of BARS equal bars over the range of the values and of the grid."""
    low, high = min(stats.low, stats.grid_low), max(stats.high, stats.grid_high)
    if not high > low or not tensor_profile.bins.size:
        return {"low": number(low, 6), "high": number(high, 6), "n": []}
    at = np.clip(((tensor_profile.centers - low) / (high - low) * BARS).astype(int), 0, BARS - 1)
    counts = np.bincount(at, tensor_profile.bins, BARS).astype(int)
    return {"low": number(low, 6), "high": number(high, 6), "n": [int(x) for x in counts]}

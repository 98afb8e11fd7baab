"""Layers of the report: everything the page shows of one layer, as short JSON."""

__all__ = ["LOSSLESS", "layer_json", "number"]

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.analysis.analyse import LayerAnalysis
from quant.analysis.layer_error import LayerError
from quant.causes.cause import KINDS, Cause
from quant.choose.grid_fit import InputStats
from quant.graph.layers import source_of
from quant.graph.prepared_graph import Graph
from quant.metrics.squared_error import SquaredError
from quant.profile.statistics import Profile, TensorProfile

LOSSLESS = 999.0
"""Stands for an infinite SQNR: JSON has no word for it."""
BARS = 72
"""Bars of a histogram."""
CHANNELS = 96
"""Channels that the page shows one by one; more are put together, the worst of each bucket."""
WORST = 5

F32 = NDArray[np.float32]


def number(value: float, digits: int = 4) -> float | None:
    """Return a number with few digits; None for nan, LOSSLESS for infinity."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return math.copysign(LOSSLESS, value)
    return float(f"{value:.{digits}g}")


def layer_json(
    row: LayerError,
    share: float | None,
    causes: Sequence[Cause],
    known: LayerAnalysis | None,
    graph: Graph,
    profile: Profile,
    only: str,
) -> dict[str, Any]:
    """Return a layer's part of the page's data.

    Args:
        row: Of the layer table.
        share: Its part of the noise at the outputs.
        causes: The likeliest first.
        known: Its analysis, or None.
        graph: The prepared graph.
        profile: Of it.
        only: Target that rules are written for; "" for all.
    """
    told: dict[str, Any] = {
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
            for c in causes
        ],
    }
    if known is not None:
        told |= _measured(known, graph, profile)
    return told


def _measured(known: LayerAnalysis, graph: Graph, profile: Profile) -> dict[str, Any]:
    found: dict[str, Any] = {
        "loc": number(known.local_sqnr_db),
        "wdb": number(known.weight_db),
        "adb": number(known.activation_db),
        "wshare": number(known.weight_share),
        "img": [_tenths(x) for x in known.isolated_by_image],
        "cimg": [_tenths(x) for x in known.cumulative_by_image],
        "channels": _channels(known),
        "inputs": [_input(one, graph, profile) for one in known.inputs],
    }
    if known.weight is not None:
        low, high = (_buckets(x, np.max) for x in (-known.weight.low, known.weight.high))
        found["weight"] = {
            "n": int(known.weight.low.size),
            "scales": known.weight.scales,
            "dead": known.weight.dead,
            "spread": number(known.weight.spread, 3),
            "peak": number(known.weight.peak, 3),
            "low": [number(-float(x), 3) for x in low],
            "high": [number(float(x), 3) for x in high],
        }
    return found


def _tenths(value: float) -> float | None:
    if math.isnan(value):
        return None
    return round(float(value), 1) if math.isfinite(value) else math.copysign(LOSSLESS, value)


def _channels(known: LayerAnalysis) -> dict[str, Any]:
    """Return each channel's SQNR and its share of the layer's noise."""
    total = float(known.noise.sum())
    pairs = zip(known.signal.tolist(), known.noise.tolist(), strict=True)
    decibels = np.array([SquaredError(s, n).sqnr_db if s > 0 else np.nan for s, n in pairs])
    shares = known.noise / total if total > 0 else np.zeros_like(known.noise)
    order = np.argsort(-shares, kind="stable")[:WORST]
    worst = [[int(c), number(float(shares[c]), 3), number(float(decibels[c]), 3)] for c in order]
    return {
        "n": int(known.noise.size),
        "silent": int(np.count_nonzero(known.signal <= 0)),
        "db": [_tenths(x) for x in _buckets(decibels, _least)],
        "share": [number(float(x), 3) for x in _buckets(shares, np.sum)],
        "worst": worst if known.noise.size > 1 else [],
    }


def _least(values: NDArray[Any]) -> float:
    return float(np.nanmin(values)) if not np.isnan(values).all() else math.nan


def _buckets(values: NDArray[Any], how: Any) -> list[float]:
    """Return at most CHANNELS numbers, neighbours put together."""
    parts = np.array_split(values, min(len(values), CHANNELS)) if len(values) else []
    return [float(how(part)) for part in parts]


def _input(one: InputStats, graph: Graph, profile: Profile) -> dict[str, Any]:
    names = ("low", "high", "grid_low", "grid_high", "step", "saturated", "saturation_noise")
    found: dict[str, Any] = {"tensor": one.tensor, "maker": one.maker}
    found |= {k: number(getattr(one, k), 5) for k in (*names, "used", "outlier", "spread")}
    found |= {"channels": one.channels, "dead": one.dead}
    source = source_of(graph, one.tensor) if one.tensor in graph.values else one.tensor
    seen = profile.tensors.get(source)
    if seen is not None:
        found["hist"] = _histogram(seen, one)
    return found


def _histogram(seen: TensorProfile, one: InputStats) -> dict[str, Any]:
    """Return counts of BARS equal bars over all that was seen and the grid."""
    low, high = min(one.low, one.grid_low), max(one.high, one.grid_high)
    if not high > low or not seen.bins.size:
        return {"low": number(low, 6), "high": number(high, 6), "n": []}
    at = np.clip(((seen.centers - low) / (high - low) * BARS).astype(int), 0, BARS - 1)
    counts = np.bincount(at, seen.bins, BARS).astype(int)
    return {"low": number(low, 6), "high": number(high, 6), "n": [int(x) for x in counts]}

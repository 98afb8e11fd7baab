"""An Analysis as one safetensors file, and its numbers as CSV."""

__all__ = ["analysis_csv", "load_analysis", "save_analysis"]

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from quant.analysis.analyse import Analysis, LayerAnalysis
from quant.choose.grid_fit import InputStats, WeightStats
from quant.common.csv_text import csv_lines
from quant.common.errors import InputError
from quant.common.files import atomic

FORMAT = "quant-analysis-1"
SCALARS = ("local_sqnr_db", "weight_db", "activation_db", "weight_share")
BY_IMAGE = ("isolated_by_image", "cumulative_by_image")
BY_CHANNEL = ("signal", "noise", "cumulative_noise")
OF_INPUT = tuple(f.name for f in fields(InputStats) if f.name not in ("tensor", "maker"))
OF_WEIGHT = ("scales", "dead", "spread", "peak")


def save_analysis(analysis: Analysis, path: Path) -> None:
    """Write an analysis, atomically.

    Layout, for layer number n (five digits): `n.scalars` float64 `[4]` (SCALARS), `n.images`
    float32 `[2, images]`, `n.channels` float32 `[3, C]`, `n.inputs` float64 `[inputs, 12]`
    (OF_INPUT), `n.weight` float64 `[4]` (OF_WEIGHT) and `n.weights` float32 `[2, C]` (least and
    greatest of each channel). The metadata entry `quant` is JSON with the names.
    """
    arrays: dict[str, Any] = {}
    rows = []
    for number, layer in enumerate(analysis.layers.values()):
        tag = f"{number:05d}"
        arrays[f"{tag}.scalars"] = np.array([getattr(layer, k) for k in SCALARS], np.float64)
        arrays[f"{tag}.images"] = np.stack([getattr(layer, k) for k in BY_IMAGE])
        arrays[f"{tag}.channels"] = np.stack(_equal([getattr(layer, k) for k in BY_CHANNEL]))
        table = [[float(getattr(x, k)) for k in OF_INPUT] for x in layer.inputs]
        arrays[f"{tag}.inputs"] = np.array(table, np.float64).reshape(-1, len(OF_INPUT))
        if layer.weight is not None:
            numbers = [float(getattr(layer.weight, k)) for k in OF_WEIGHT]
            arrays[f"{tag}.weight"] = np.array(numbers, np.float64)
            arrays[f"{tag}.weights"] = np.stack([layer.weight.low, layer.weight.high])
        rows.append({"layer": layer.layer, "inputs": [[x.tensor, x.maker] for x in layer.inputs]})
    head = {
        "format": FORMAT,
        "target": analysis.target,
        "images": list(analysis.images),
        "layers": rows,
    }
    text = json.dumps(head, separators=(",", ":"))
    with atomic(path) as scratch:
        scratch.write_bytes(save(arrays, metadata={"quant": text}))


def _equal(arrays: list[Any]) -> list[Any]:
    """Return arrays of the first one's length; an array of another length becomes nan."""
    length = len(arrays[0])
    return [a if len(a) == length else np.full(length, np.nan, np.float32) for a in arrays]


def load_analysis(path: Path) -> Analysis:
    """Read an analysis.

    Raises:
        InputError: The file is missing, or is not an analysis of this version.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            head = json.loads((file.metadata() or {}).get("quant", "{}"))
            if head.get("format") != FORMAT:
                raise InputError(
                    f"{path}: not an analysis of this version: its format is "
                    f"'{head.get('format', 'none')}', wanted '{FORMAT}'. Run quant calibrate again."
                )
            names = set(file.keys())
            layers = [_layer(row, n, file, names) for n, row in enumerate(head["layers"])]
            return Analysis(
                target=str(head["target"]),
                images=tuple(map(str, head["images"])),
                layers={layer.layer: layer for layer in layers},
            )
    except (AttributeError, KeyError, OSError, SafetensorError, TypeError, ValueError) as error:
        cause = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise InputError(
            f"{path}: not a readable analysis: {cause}. Run quant calibrate again."
        ) from error


def _layer(row: dict[str, Any], number: int, file: Any, names: set[str]) -> LayerAnalysis:
    tag = f"{number:05d}"
    weight = None
    if f"{tag}.weight" in names:
        scales, dead, spread, peak = file.get_tensor(f"{tag}.weight").tolist()
        low, high = file.get_tensor(f"{tag}.weights")
        weight = WeightStats(
            low=low, high=high, scales=int(scales), dead=int(dead), spread=spread, peak=peak
        )
    inputs = []
    for (tensor, maker), numbers in zip(
        row["inputs"], file.get_tensor(f"{tag}.inputs"), strict=True
    ):
        attributes: dict[str, Any] = dict(zip(OF_INPUT, numbers.tolist(), strict=True))
        attributes |= {"channels": int(attributes["channels"]), "dead": int(attributes["dead"])}
        inputs.append(InputStats(tensor=str(tensor), maker=str(maker), **attributes))
    scalars = dict(zip(SCALARS, file.get_tensor(f"{tag}.scalars").tolist(), strict=True))
    images = dict(zip(BY_IMAGE, file.get_tensor(f"{tag}.images"), strict=True))
    channels = dict(zip(BY_CHANNEL, file.get_tensor(f"{tag}.channels"), strict=True))
    return LayerAnalysis(
        layer=str(row["layer"]),
        inputs=tuple(inputs),
        weight=weight,
        **scalars,
        **images,
        **channels,
    )


CSV = (
    *("layer", "local_sqnr_db", "weight_db", "activation_db", "weight_share", "worst_image"),
    *("worst_image_db", "worst_channel", "input", "saturated", "saturation_noise", "used"),
    *("outlier", "dead", "spread", "weight_scales", "weight_spread", "weight_peak"),
)


def analysis_csv(analysis: Analysis) -> str:
    """Return a row a layer: its shares, its worst image and channel, its first input, its weight."""
    rows: list[tuple[object, ...]] = [CSV]
    for x in analysis.layers.values():
        image = _least(x.isolated_by_image)
        worst = int(np.argmax(x.noise)) if x.noise.size > 1 and x.noise.any() else ""
        first = x.inputs[0] if x.inputs else None
        columns = ("saturated", "saturation_noise", "used", "outlier", "dead", "spread")
        rows.append(
            (
                *(x.layer, x.local_sqnr_db, x.weight_db, x.activation_db, x.weight_share),
                analysis.images[image] if image is not None else "",
                float(x.isolated_by_image[image]) if image is not None else float("nan"),
                worst,
                first.tensor if first is not None else "",
                *(getattr(first, k) if first is not None else "" for k in columns),
                *(
                    getattr(x.weight, k) if x.weight is not None else ""
                    for k in ("scales", "spread", "peak")
                ),
            )
        )
    return csv_lines(rows)


def _least(values: Any) -> int | None:
    """Return the position of the least number, None where there is none."""
    if not values.size or np.isnan(values).all():
        return None
    return int(np.nanargmin(values))

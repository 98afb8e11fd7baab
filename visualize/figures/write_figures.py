"""All figures of a run, in `figures/`: PNG, SVG, and the same numbers as CSV."""

__all__ = ["write_figures"]

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from quant.analysis.analyse import LayerAnalysis
from quant.analysis.layer_error import COLUMNS
from quant.common.csv_text import csv_lines
from quant.common.files import write_text
from quant.metrics.squared_error import SquaredError
from quant.results.layer_causes import noise_shares
from quant.results.saved_run import SavedRun, SavedTarget
from quant.visualize.figures.figure_file import drawing, save_figure
from quant.visualize.figures.heatmap import heatmap
from quant.visualize.figures.histograms import histogram_panels, weight_panels
from quant.visualize.figures.lines import accuracy_bars, error_lines
from quant.visualize.figures.maps import layer_map
from quant.visualize.figures.pareto import front_panels, front_rows

WORST = 6
"""Layers that have a panel of their own."""
BUCKETS = 96
"""Columns of the channel map; wider layers are put into buckets, the worst channel of each."""

Rows = Sequence[Sequence[object]]


def write_figures(run: SavedRun) -> None:
    """Write the figures of the run, and a folder of figures for each measured target."""
    folder, name = run.folder / "figures", run.graph.name
    tables = {t.name: t.rows for t in run.targets}
    heatmap(tables, folder / "heatmap.png", f"{name}: error by layer")
    rows: list[list[object]] = [["target", *COLUMNS]]
    rows += [[t.name, *(getattr(r, c) for c in COLUMNS)] for t in run.targets for r in t.rows]
    write_text(folder / "heatmap.csv", csv_lines(rows))
    with drawing():
        short = [[*row[:4], *row[4:6]] for row in rows]
        _save(error_lines(tables, f"{name}: error along the network"), folder / "error.png", short)
        _accuracy(run, folder / "accuracy.png")
        _searches(run, folder / "pareto.png")
        for target in run.targets:
            if target.analysis.layers:
                _of_target(run, target, folder / target.name)


def _save(figure: Figure, path: Path, rows: Rows) -> None:
    save_figure(figure, path)
    write_text(path.with_suffix(".csv"), csv_lines(rows))


def _accuracy(run: SavedRun, path: Path) -> None:
    scores: dict[str, dict[str, tuple[float, float]]] = {}
    for target in run.targets:
        simulated = target.facts.get("simulated") or {}
        before = simulated.get("float_scores") or {}
        pairs = {
            k: (float(v), float(before[k])) for k, v in (simulated.get("scores") or {}).items()
        }
        if simulated.get("agreement") is not None:
            pairs["agreement"] = (float(simulated["agreement"]), 1.0)
        scores[target.name] = pairs
    rows: list[list[object]] = [["target", "metric", "quantized", "float"]]
    rows += [[t, m, *pair] for t, pairs in scores.items() for m, pair in pairs.items()]
    _save(accuracy_bars(scores, f"{run.graph.name}: accuracy against float"), path, rows)


def _searches(run: SavedRun, path: Path) -> None:
    """Write the Pareto front of each target with a search."""
    searches = {t.name: t.search for t in run.targets if t.search is not None and t.search.points}
    if searches:
        title = f"{run.graph.name}: what accuracy costs in mixed precision"
        _save(front_panels(searches, title), path, front_rows(searches))


def _of_target(run: SavedRun, target: SavedTarget, folder: Path) -> None:
    layers = target.analysis.layers
    names, images = list(layers), target.analysis.images
    where = f"{run.graph.name} for {target.name}"
    values = np.array([layers[n].isolated_by_image for n in names], np.float64)
    figure = layer_map(values, names, images, f"{where}: each layer alone, by image", "image")
    _save(figure, folder / "images.png", [["layer", *images], *_labelled(names, values)])
    values = np.array([_channels(layers[n]) for n in names])
    columns = [str(i) for i in range(values.shape[1])]
    below = f"output channel; wide layers in {BUCKETS} buckets, worst channel of each"
    title = f"{where}: error of each layer, by channel"
    figure = layer_map(values, names, columns, title, below)
    _save(figure, folder / "channels.png", [["layer", *columns], *_labelled(names, values)])
    shares = noise_shares(target.rows)
    order = sorted((n for n in names if n in shares), key=lambda n: -shares[n])
    worst = [layers[n] for n in order]
    worst_inputs = [x for x in worst if x.inputs][:WORST]
    title = f"{where}: inputs of the worst layers"
    _save(
        histogram_panels(target, worst_inputs, title),
        folder / "histograms.png",
        _histograms(target, worst_inputs),
    )
    weighted = [x for x in worst if x.weight is not None][:WORST]
    title = f"{where}: weights of the worst layers"
    _save(weight_panels(weighted, title), folder / "weights.png", _weights(weighted))


def _labelled(names: Sequence[str], values: NDArray[np.float64]) -> list[list[object]]:
    return [[name, *row] for name, row in zip(names, values.tolist(), strict=True)]


def _channels(layer: LayerAnalysis) -> NDArray[np.float64]:
    """Return BUCKETS numbers in dB, nan where a layer has fewer channels."""
    pairs = zip(layer.signal.tolist(), layer.noise.tolist(), strict=True)
    values = np.array([SquaredError(s, n).sqnr_db if s > 0 else np.nan for s, n in pairs])
    parts = np.array_split(values, min(BUCKETS, len(values))) if len(values) else []
    decibels = np.full(BUCKETS, np.nan)
    for number, part in enumerate(parts):
        if not np.isnan(part).all():
            decibels[number] = np.nanmin(part)
    return decibels


def _histograms(target: SavedTarget, layers: Sequence[LayerAnalysis]) -> list[list[object]]:
    """Return the histogram bins of the inputs from the profile."""
    rows: list[list[object]] = [["layer", "tensor", "grid_low", "grid_high", "value", "elements"]]
    for layer in layers:
        stats = layer.inputs[0]
        tensor_profile = target.profile.tensors.get(stats.tensor)
        if tensor_profile is not None:
            for at in np.flatnonzero(tensor_profile.bins):
                ends = (stats.grid_low, stats.grid_high)
                rows.append(
                    [
                        layer.layer,
                        stats.tensor,
                        *ends,
                        float(tensor_profile.centers[at]),
                        int(tensor_profile.bins[at]),
                    ]
                )
    return rows


def _weights(layers: Sequence[LayerAnalysis]) -> list[list[object]]:
    rows: list[list[object]] = [["layer", "channel", "low", "high"]]
    for layer in layers:
        if layer.weight is not None:
            pairs = zip(layer.weight.low.tolist(), layer.weight.high.tolist(), strict=True)
            rows += [[layer.layer, i, low, high] for i, (low, high) in enumerate(pairs)]
    return rows

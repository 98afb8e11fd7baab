"""What a run reads: the prepared graph, and the samples that calibrate and measure."""

__all__ = ["Material", "deployment_of", "open_material"]

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.calibration import BadSample, Data, Labels, open_data, split
from quant.calibration.profiling.statistics_graph import micro_batch, profiled_tensors
from quant.calibration.sources.data import input_specs
from quant.common.errors import UnsupportedError
from quant.common.progress import Progress
from quant.graph.prepared_graph import Graph
from quant.job.settings import Job
from quant.load.open_graph import open_graph
from quant.load.parity import check_parity
from quant.load.prepare import prepare
from quant.profile.statistics import Profile
from quant.target.deployment import Deployment
from quant.target.table import checked_versions


@dataclass(frozen=True, kw_only=True)
class Material:
    """The graph and the samples of a run.

    Attributes:
        graph: Prepared.
        parity: Greatest relative difference between the model as given and as prepared.
        data: The samples.
        batch: Samples in one inference.
        calibrated: Indices into `data`.
        measured: Indices of the held-out ones, or of the same.
        held_out: Whether the measured samples took no part in calibration.
        bad: `(key, reason)` of samples that could not be read.
    """

    graph: Graph
    parity: float
    data: Data
    batch: int
    calibrated: list[int]
    measured: list[int]
    held_out: bool
    bad: list[tuple[str, str]] = field(default_factory=list)


def open_material(job: Job, progress: Progress) -> Material:
    """Read model and data, choose the samples, and check that preparation changed no output.

    Raises:
        InputError: The model or the data cannot be read.
        UnsupportedError: The model cannot be served.
    """
    with progress.stage("load"):
        raw, graph = open_graph(job.model)
    with progress.stage("data"):
        labels: Labels = None
        if job.labels is not None:
            labels = "folders" if job.labels == "folders" else Path(job.labels)
        data = open_data(job.data, input_specs(graph), job.preprocess, labels)
        calibrated, measured = split(len(data), job.samples, job.holdout, job.seed)
    held_out = bool(measured) and not set(measured) & set(calibrated)
    for warning in job.preprocess.warnings():
        progress.warn(warning)
    with progress.stage("load"):
        graph, parity = _proved(raw, graph, data, calibrated, job)
    batch = micro_batch(graph, profiled_tensors(graph))
    if not held_out and job.holdout:
        progress.warn(
            f"--data: no sample is left to measure on beside the {len(calibrated)} that calibrate, "
            "so the numbers are of the same samples. Give more data or a smaller --samples."
        )
    return Material(
        graph=graph,
        parity=parity,
        data=data,
        batch=batch,
        calibrated=calibrated,
        measured=measured or calibrated,
        held_out=held_out,
    )


def _proved(
    raw: ir.Model, graph: Graph, data: Data, indices: Sequence[int], job: Job
) -> tuple[Graph, float]:
    """Return the graph and its parity with the model; without simplification if that changed it."""
    feeds = []
    for index in indices:
        try:
            sample = data.read(index)
        except BadSample:
            continue
        rows = {s.name: s.shape[0] for s in input_specs(graph) if s.shape}
        repeat = {n: r if isinstance(r, int) else 1 for n, r in rows.items()}
        feeds.append({n: np.repeat(x[None], repeat.get(n, 1), axis=0) for n, x in sample.items()})
        if len(feeds) == 2:
            break
    try:
        return graph, check_parity(raw, graph, feeds)
    except UnsupportedError:
        unsimplified = prepare(raw, graph.name, graph.source, simplify=False)
        return unsimplified, check_parity(raw, unsimplified, feeds)


def deployment_of(
    job: Job, profile: Profile | None = None, material: Material | None = None
) -> Deployment:
    """Return what the writers of targets must know besides graph and plan.

    Args:
        job: Preprocessing, versions and whether layers may fall back.
        profile: Of the calibration samples; None when there is none at hand.
        material: The samples; the preprocessing is left out where they turn out not to be images
            that it could have made.
    """
    first = next(_readable(material, 1), None) if material is not None else None
    images = first is None or any(job.preprocess.could_give(x) for x in first[1].values())
    return Deployment(
        preprocess=job.preprocess if images else None,
        profile=profile,
        samples=None if material is None else partial(_readable, material),
        versions=checked_versions(job.versions),
        allow_fallback=job.allow_fallback,
    )


def _readable(material: Material, count: int) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
    """Yield key and input tensors of the first `count` calibration samples that can be read."""
    yielded = 0
    for index in material.calibrated:
        if yielded == count:
            return
        try:
            sample = material.data.read(index)
        except BadSample:
            continue
        yielded += 1
        yield material.data.key(index), sample

"""Stages: reading what a run needs, and profiling it; shared by the main job and the commands."""

__all__ = [
    "Material",
    "allowance",
    "deployment_of",
    "find_metric",
    "gather",
    "input_specs",
    "open_graph",
    "profile_samples",
    "value_range",
]

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.calibration import BadSample, Data, InputSpec, Labels, batches, open_data, split
from quant.calibration.profiling.run_profile import Checkpoint, Mark, profile, settings_fingerprint
from quant.calibration.profiling.statistics_graph import micro_batch, tapped_tensors
from quant.calibration.selection.split import by_lot
from quant.common.errors import InputError, UnsupportedError
from quant.common.progress import Talk
from quant.compare.metrics import METRICS, Metric
from quant.graph.prepared_graph import Graph
from quant.job.settings import Job
from quant.load.open_graph import load
from quant.load.parity import check_parity
from quant.load.prepare import prepare
from quant.preprocess.image_to_tensor import Preprocess
from quant.profile.file import save_profile
from quant.profile.statistics import Profile, Provenance
from quant.target.deployment import Deployment

LEAST_HALF = 8
"""Samples below which half of them says nothing of the whole."""


@dataclass(kw_only=True)
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
        half: Profile of half of the calibration samples, drawn by lot; None where they are few.
    """

    graph: Graph
    parity: float
    data: Data
    batch: int
    calibrated: list[int]
    measured: list[int]
    held_out: bool
    bad: list[tuple[str, str]] = field(default_factory=list)
    half: Profile | None = None


def open_graph(source: str) -> tuple[ir.Model, Graph]:
    """Return a model as loaded and as prepared."""
    raw = load(source)
    name = source.rsplit(":", 1)[-1] if ":" in source and not Path(source).exists() else source
    return raw, prepare(raw, Path(name).stem or "model", source)


def input_specs(graph: Graph) -> list[InputSpec]:
    """Return what the data sources need to know of the graph's inputs."""
    specs = []
    for value in graph.inputs:
        shape = value.shape if value.shape is not None else ()
        kind = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
        sizes = tuple(d if isinstance(d, int) else None for d in shape)
        specs.append(InputSpec(name=str(value.name), dtype=kind, shape=sizes))
    return specs


def gather(job: Job, talk: Talk) -> Material:
    """Read model and data, choose the samples, and prove that preparation changed nothing."""
    with talk.stage("load"):
        raw, graph = open_graph(job.model)
    with talk.stage("data"):
        labels: Labels = None
        if job.labels is not None:
            labels = "folders" if job.labels == "folders" else Path(job.labels)
        data = open_data(job.data, input_specs(graph), job.preprocess, labels)
        calibrated, measured = split(len(data), job.samples, job.holdout, job.seed)
    held_out = bool(measured) and not set(measured) & set(calibrated)
    for warning in job.preprocess.warnings():
        talk.warn(warning)
    with talk.stage("load"):
        graph, parity = _proved(raw, graph, data, calibrated, job)
    batch = micro_batch(graph, tapped_tensors(graph))
    if not held_out and job.holdout:
        talk.warn(
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
        plain = prepare(raw, graph.name, graph.source, simplify=False)
        return plain, check_parity(raw, plain, feeds)


def profile_samples(
    job: Job, material: Material, talk: Talk, path: Path | None = None, *, halve: bool = False
) -> Profile:
    """Profile the calibration samples, resuming an interrupted run, and write the profile.

    Args:
        job: Says how.
        material: The graph and the samples.
        talk: Shows the progress.
        path: Where the profile goes; `profile.safetensors` of the run if None.
        halve: Note the profile of half of the samples in the material.
    """
    path = path or job.out / "profile.safetensors"
    graph, data = material.graph, material.data
    like = Provenance(
        graph=graph.fingerprint,
        preprocess=job.preprocess.fingerprint,
        settings=settings_fingerprint(),
        data=0,
        samples=0,
    )
    finished, _ = Checkpoint(path).resume(like)
    if finished is not None and _holds(finished, job, material, material.calibrated):
        talk.line(f"profile: {path} is of these samples already, {finished.provenance.samples}")
        _warn_of(finished, graph, talk)
        material.half = _half_again(job, material, talk) if halve else None
        return finished
    checkpoint = Checkpoint(path.with_name(f"{path.stem}.unfinished.safetensors"))
    before, done = checkpoint.resume(like)
    known = set(done)
    left = [i for i in material.calibrated if data.key(i) not in known]
    seen = [i for i in material.calibrated if data.key(i) in known]
    if before is not None and len(seen) == len(known) and _holds(before, job, material, seen):
        talk.line(f"profile: resumed, {len(done)} of {len(material.calibrated)} samples were done")
    else:
        before, done, left = None, [], by_lot(material.calibrated, job.seed)
    half = _half_of(material) if halve else 0
    mark = Mark(half) if half and before is None else None
    with talk.stage("profile"):
        allowed = allowance(job, material, left)
        stream = batches(data, left, material.batch, bad=material.bad, max_bad=allowed)
        total = -(-len(left) // material.batch)
        found = profile(
            graph,
            talk.bar(stream if left else [], total, "profile"),
            preprocess=job.preprocess.fingerprint,
            threads=job.threads,
            checkpoint=checkpoint,
            before=before,
            done=done,
            mark=mark,
        )
    if half:
        material.half = mark.first if mark is not None else _half_again(job, material, talk)
    save_profile(found, path)
    checkpoint.path.unlink(missing_ok=True)
    _warn_of(found, graph, talk)
    return found


def _half_of(material: Material) -> int:
    """Return half of the calibration samples in whole batches; 0 where that says nothing."""
    half = -(-len(material.calibrated) // (2 * material.batch)) * material.batch
    return half if LEAST_HALF <= half < len(material.calibrated) else 0


def _half_again(job: Job, material: Material, talk: Talk) -> Profile | None:
    """Profile the samples that a run without interruption has seen when it is half through."""
    half = _half_of(material)
    if not half:
        return None
    order = by_lot(material.calibrated, job.seed)
    with talk.stage("profile"):
        stream = batches(material.data, order, material.batch, bad=[], max_bad=1.0)
        some = talk.bar(islice(stream, half // material.batch), half // material.batch, "half")
        found = profile(
            material.graph, some, preprocess=job.preprocess.fingerprint, threads=job.threads
        )
    return found if found.provenance.samples == half else None


def _holds(found: Profile, job: Job, material: Material, indices: Sequence[int]) -> bool:
    """Tell whether a profile is of just these samples, by reading them and adding their digests.

    Keys would not do: other images may lie under the same names.
    """
    bad: list[tuple[str, str]] = []
    total = samples = 0
    for batch in batches(material.data, indices, material.batch, bad=bad, max_bad=1.0):
        total, samples = (total + sum(batch.digests)) % 2**256, samples + batch.count
    origin = found.provenance
    same = (origin.data, origin.samples) == (total, samples)
    if same:
        material.bad += bad
    return same


def allowance(job: Job, material: Material, indices: Sequence[int]) -> float:
    """Return the share of `indices` that may be broken so that --max-bad holds over all samples."""
    every = len(set(material.calibrated) | set(material.measured))
    return min(1.0, job.max_bad * every / max(len(indices), 1))


def _warn_of(found: Profile, graph: Graph, talk: Talk) -> None:
    """Warn of what the profile shows of the model or the preprocessing."""
    for name, seen in found.tensors.items():
        if seen.nonfinite:
            maker = graph.values[name].producer()
            place = f"layer '{maker.name}'" if maker is not None else f"input '{name}'"
            talk.warn(
                f"{place}: {seen.nonfinite} of {seen.count} elements are NaN or infinite, first in "
                f"sample '{seen.nonfinite_sample}'. They were left out; look at that sample."
            )
            break
    for value in graph.inputs:
        warning = value_range(str(value.name), *_range(found, str(value.name)))
        if warning:
            talk.warn(warning)


def _range(found: Profile, name: str) -> tuple[float, float]:
    seen = found.tensors.get(name)
    return (seen.low, seen.high) if seen is not None else (0.0, 0.0)


def value_range(name: str, low: float, high: float) -> str | None:
    """Return a warning for an input range that few networks are trained with, or None.

    Networks are fed with about [-3, 3] or [0, 1]. Pixels of 0 to 255 that were never scaled, and
    pixels that were scaled twice, are the two mistakes people make.
    """
    top = max(abs(low), abs(high))
    if top > 16 and high - low > 100:
        return (
            f"input '{name}': its values span [{low:.4g}, {high:.4g}], as raw pixels do. If the "
            "network was trained on scaled ones, give --mean and --std in units of 0 to 255."
        )
    if 0 < top < 0.05:
        return (
            f"input '{name}': its values span only [{low:.4g}, {high:.4g}], as pixels that were "
            "scaled twice do. Give --mean and --std in units of 0 to 255."
        )
    return None


def deployment_of(
    options: Any, profile: Profile | None = None, material: "Material | None" = None
) -> Deployment:
    """Return what writers of targets are told.

    Args:
        options: Has `preprocess`, `trt_version`, `soc_version`, `nnie_version`, `allow_fallback`:
            a Job.
        profile: Of the calibration.
        material: With the samples; the preprocessing is left out where they turn out to be none of
            its pictures.
    """
    first = next(_samples(material, 1), None) if material is not None else None
    pictures = first is None or any(_is_picture(x, options.preprocess) for x in first[1].values())
    return Deployment(
        preprocess=options.preprocess if pictures else None,
        profile=profile,
        samples=None if material is None else partial(_samples, material),
        trt_version=options.trt_version,
        soc_version=options.soc_version,
        nnie_version=options.nnie_version,
        allow_fallback=options.allow_fallback,
    )


def _samples(material: Material, count: int) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
    """Yield the first `count` calibration samples that can be read."""
    found = 0
    for index in material.calibrated:
        if found == count:
            return
        try:
            sample = material.data.read(index)
        except BadSample:
            continue
        found += 1
        yield material.data.key(index), sample


def _is_picture(x: NDArray[Any], preprocess: Preprocess) -> bool:
    """Tell whether an input, without batch axis, is what the preprocessing makes of 8-bit pixels."""
    told = preprocess.describe()
    mean, std = (np.array(told[key], np.float64) for key in ("mean", "std"))
    if x.ndim != 3 or x.dtype != np.float32:
        return False
    if preprocess.layout == "NCHW":
        mean, std = mean[:, None, None], std[:, None, None]
    try:
        pixels = np.rint(x * std + mean)
    except ValueError:  # another number of channels
        return False
    inside = pixels.min(initial=0) >= 0 and pixels.max(initial=0) <= 255
    return bool(inside and np.array_equal(((pixels - mean) / std).astype(np.float32), x))


def find_metric(name: str) -> Metric:
    """Return a registered metric, or a user's `module:function`.

    Raises:
        InputError: Unknown, or the function cannot be imported.
    """
    if ":" not in name:
        return METRICS[name]
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"--metric {name}: cannot be imported: {error}. Write module:function, with the module "
            "in the current folder or installed."
        ) from error
    return Metric(name=name, unit="", better="higher", score=function)

"""Profile a run's calibration samples, resuming from its checkpoint."""

__all__ = ["SampleProfiles", "max_bad_of", "profile_samples", "value_range"]

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from quant.calibration import batches
from quant.calibration.profiling.run_profile import (
    Checkpoint,
    ProfilingOptions,
    profile,
    profile_with,
    settings_fingerprint,
)
from quant.calibration.selection.split import shuffled
from quant.common.progress import Progress
from quant.graph.prepared_graph import Graph
from quant.job.settings import Job
from quant.profile.file import save_profile
from quant.profile.statistics import Profile, Provenance
from quant.run.material import Material

LEAST_HALF = 8
"""With fewer samples the ranges of half of them say nothing about all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleProfiles:
    """The profiles of a run's calibration samples.

    Attributes:
        whole: Of all of them.
        half: Of half of them, drawn at random; None where that was not asked for or they are few.
    """

    whole: Profile
    half: Profile | None = None


def profile_samples(
    job: Job,
    material: Material,
    progress: Progress,
    path: Path | None = None,
    *,
    halve: bool = False,
) -> SampleProfiles:
    """Profile the calibration samples, resuming an interrupted run, and write the profile.

    Args:
        job: Preprocessing, seed, threads and the folder of the run.
        material: The graph and the samples.
        progress: Shows the progress.
        path: Where the profile goes; `profile.safetensors` of the run if None.
        halve: Also give the profile of half of the samples.
    """
    path = path or job.out / "profile.safetensors"
    graph, data = material.graph, material.data
    expected = Provenance(
        graph=graph.fingerprint,
        preprocess=job.preprocess.fingerprint,
        settings=settings_fingerprint(),
        data=0,
        samples=0,
    )
    saved = Checkpoint(path).resume(expected)
    finished = saved.profile if saved is not None else None
    if finished is not None and _is_of_samples(finished, job, material, material.calibrated):
        progress.line(f"profile: {path} is of these samples already, {finished.provenance.samples}")
        _warn_of(finished, graph, progress)
        half = _half_again(job, material, progress) if halve else None
        return SampleProfiles(whole=finished, half=half)
    checkpoint = Checkpoint(path.with_name(f"{path.stem}.unfinished.safetensors"))
    unfinished = checkpoint.resume(expected)
    done_keys = set(unfinished.keys) if unfinished is not None else set()
    left = [i for i in material.calibrated if data.key(i) not in done_keys]
    profiled = [i for i in material.calibrated if data.key(i) in done_keys]
    same = len(profiled) == len(done_keys)
    if unfinished and same and _is_of_samples(unfinished.profile, job, material, profiled):
        count = len(unfinished.keys)
        progress.line(f"profile: resumed, {count} of {len(material.calibrated)} samples were done")
    else:
        unfinished, left = None, shuffled(material.calibrated, job.seed)
    half_count = _half_of(material) if halve else 0
    options = ProfilingOptions(
        preprocess=job.preprocess.fingerprint,
        threads=job.threads,
        checkpoint=checkpoint,
        unfinished=unfinished,
        snapshot=half_count if unfinished is None else 0,
    )
    with progress.stage("profile"):
        max_bad = max_bad_of(job, material, left)
        stream = batches(data, left, material.batch, bad=material.bad, max_bad=max_bad)
        total = -(-len(left) // material.batch)
        bar = progress.bar(stream if left else [], total, "profile")
        profiles = profile_with(options, graph, bar)
    whole, half = profiles.whole, profiles.first
    if half_count and unfinished is not None:
        half = _half_again(job, material, progress)
    save_profile(whole, path)
    checkpoint.path.unlink(missing_ok=True)
    _warn_of(whole, graph, progress)
    return SampleProfiles(whole=whole, half=half)


def _half_of(material: Material) -> int:
    """Return how many samples half of them are, in whole batches; 0 where they are too few."""
    half = -(-len(material.calibrated) // (2 * material.batch)) * material.batch
    return half if LEAST_HALF <= half < len(material.calibrated) else 0


def _half_again(job: Job, material: Material, progress: Progress) -> Profile | None:
    """Profile the samples that an uninterrupted run has read when it is half through."""
    half = _half_of(material)
    if not half:
        return None
    order = shuffled(material.calibrated, job.seed)
    with progress.stage("profile"):
        stream = batches(material.data, order, material.batch, bad=[], max_bad=1.0)
        some = progress.bar(islice(stream, half // material.batch), half // material.batch, "half")
        found = profile(
            material.graph, some, preprocess=job.preprocess.fingerprint, threads=job.threads
        )
    return found if found.provenance.samples == half else None


def _is_of_samples(
    candidate: Profile, job: Job, material: Material, indices: Sequence[int]
) -> bool:
    """Return whether a profile is of just these samples: reads them and adds their digests.

    Keys would not do: other images may lie under the same names.
    """
    bad: list[tuple[str, str]] = []
    total = samples = 0
    for batch in batches(material.data, indices, material.batch, bad=bad, max_bad=1.0):
        total, samples = (total + sum(batch.digests)) % 2**256, samples + batch.count
    origin = candidate.provenance
    same = (origin.data, origin.samples) == (total, samples)
    if same:
        material.bad.extend(bad)
    return same


def max_bad_of(job: Job, material: Material, indices: Sequence[int]) -> float:
    """Return the share of `indices` that may be broken so that --max-bad holds over all samples."""
    every = len(set(material.calibrated) | set(material.measured))
    return min(1.0, job.max_bad * every / max(len(indices), 1))


def _warn_of(found: Profile, graph: Graph, progress: Progress) -> None:
    """Warn of what the profile shows of the model or the preprocessing."""
    for name, seen in found.tensors.items():
        if seen.nonfinite:
            maker = graph.values[name].producer()
            place = f"layer '{maker.name}'" if maker is not None else f"input '{name}'"
            progress.warn(
                f"{place}: {seen.nonfinite} of {seen.count} elements are NaN or infinite, first in "
                f"sample '{seen.nonfinite_sample}'. They were left out; look at that sample."
            )
            break
    for value in graph.inputs:
        warning = value_range(str(value.name), *_range(found, str(value.name)))
        if warning:
            progress.warn(warning)


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

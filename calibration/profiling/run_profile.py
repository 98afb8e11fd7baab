"""The profiling run: statistics of every activation in one pass, at nearly the price of inference."""

__all__ = [
    "Checkpoint",
    "Profiles",
    "ProfilingOptions",
    "SampleHook",
    "Unfinished",
    "profile",
    "profile_with",
    "settings_fingerprint",
]

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quant.calibration.profiling.accumulate import Accumulator, exact
from quant.calibration.profiling.statistics_graph import (
    BLIND_STRIDE,
    SAMPLE_LEAST,
    SAMPLE_MOST,
    SAMPLE_SHARE,
    STATISTICS_VERSION,
    TensorStatistics,
    with_statistics,
)
from quant.common.errors import InputError
from quant.compare.batch import Batch
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session
from quant.profile.file import load_done, load_profile, save_profile
from quant.profile.statistics import HALF, Profile, Provenance

F32 = NDArray[np.float32]


def settings_fingerprint() -> str:
    """Return the fingerprint of what changes a profile besides graph, data and preprocessing."""
    parts = (STATISTICS_VERSION, SAMPLE_SHARE, SAMPLE_LEAST, SAMPLE_MOST, BLIND_STRIDE, HALF)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """What an interrupted run has profiled.

    Attributes:
        profile: The statistics of its samples.
        keys: The keys of these samples.
    """

    profile: Profile
    keys: tuple[str, ...]


@dataclass
class Checkpoint:
    """The file of an unfinished profile, and how often it is written.

    Attributes:
        path: The file; the caller that writes the finished profile removes it.
        seconds: The least time between two writes.
    """

    path: Path
    seconds: float = 5.0
    _last: float = field(default_factory=time.monotonic)

    def resume(self, like: Provenance) -> Unfinished | None:
        """Return the unfinished profile; None where there is none of the same run."""
        if not self.path.exists():
            return None
        try:
            saved = load_profile(self.path)
            saved.must_match(graph=like.graph, preprocess=like.preprocess, settings=like.settings)
            return Unfinished(profile=saved, keys=tuple(load_done(self.path)))
        except InputError:
            return None  # of another run, or cut short: begin again

    def due(self) -> bool:
        """Return whether it is time to write."""
        return time.monotonic() - self._last >= self.seconds

    def save(self, profile: Profile, keys: Sequence[str]) -> None:
        """Write the unfinished profile and the keys of its samples."""
        save_profile(profile, self.path, keys)
        self._last = time.monotonic()


class SampleHook(Protocol):
    """A hook that receives the statistics of every single sample."""

    def add(
        self, tensors: Sequence[TensorStatistics], batch: Batch, low: F32, high: F32, mean: F32
    ) -> None:
        """Receive one run: float32 `[batch.count, columns]` each, finite or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilingOptions:
    """How a profiling run goes.

    Attributes:
        preprocess: Fingerprint of the preprocessing that made the tensors.
        threads: Threads inside one operator; 0 for all cores.
        hook: Receives every sample's extremes and means; None for no hook.
        checkpoint: Where the unfinished profile is saved; None for nowhere.
        unfinished: What an interrupted run had, from `Checkpoint.resume`; its samples come first.
        snapshot: Number of samples after which `Profiles.first` is taken, at the next end of a
            batch; 0 for no such profile.
    """

    preprocess: str = ""
    threads: int = 0
    hook: SampleHook | None = None
    checkpoint: Checkpoint | None = None
    unfinished: Unfinished | None = None
    snapshot: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """What a profiling run gives.

    Attributes:
        whole: The profile of all samples.
        first: The profile of the first ones, as `ProfilingOptions.snapshot` asks; None where fewer
            samples arrived.
    """

    whole: Profile
    first: Profile | None = None


def profile(
    graph: Graph,
    batches: Iterable[Batch],
    *,
    preprocess: str = "",
    threads: int = 0,
    hook: SampleHook | None = None,
) -> Profile:
    """Return the statistics of every activation of `graph` over samples.

    The result does not depend on the order of the samples or on how they were batched: equal
    multisets of samples give equal bytes.

    Args:
        graph: The prepared graph.
        batches: Input tensors, `statistics_graph.micro_batch(graph)` samples each.
        preprocess: Fingerprint of the preprocessing that made the tensors.
        threads: Threads inside one operator; 0 for all cores.
        hook: Receives every sample's extremes and means.

    Raises:
        InputError: No sample arrived, or a sample's shape does not fit the model.
    """
    options = ProfilingOptions(preprocess=preprocess, threads=threads, hook=hook)
    return profile_with(options, graph, batches).whole


def profile_with(options: ProfilingOptions, graph: Graph, batches: Iterable[Batch]) -> Profiles:
    """Return the statistics of every activation, saving and resuming as the options say.

    Args:
        options: Checkpoint, snapshot and hook.
        graph: The prepared graph.
        batches: Input tensors, `statistics_graph.micro_batch(graph)` samples each.

    Raises:
        InputError: No sample arrived, or a sample's shape does not fit the model.
    """
    run = _Run(graph, options)
    checkpoint, unfinished = options.checkpoint, options.unfinished
    keys = list(unfinished.keys) if unfinished is not None else []
    first: Profile | None = None
    try:
        for batch in batches:
            run.add(batch)
            keys += batch.keys
            if options.snapshot and first is None and len(keys) >= options.snapshot:
                first = run.result()
            if checkpoint is not None and checkpoint.due():
                checkpoint.save(run.result(), keys)
    except KeyboardInterrupt:
        if checkpoint is not None and keys:
            checkpoint.save(run.result(), keys)
        raise
    whole = run.result()
    if not whole.provenance.samples:
        raise InputError("profile: no sample arrived, wanted at least 1. Check --data.")
    return Profiles(whole=whole, first=first)


class _Run:
    """One session, and the statistics that it has given so far."""

    def __init__(self, graph: Graph, options: ProfilingOptions) -> None:
        statistics = with_statistics(graph)
        self._graph, self._statistics, self._options = graph, statistics, options
        self._session = open_session(statistics.model, threads=options.threads, alone=True)
        self._full_session: Any = None
        self._accumulator = Accumulator(statistics.tensors)
        self._nonfinite: Profile | None = None
        self._origin = Provenance(
            graph=graph.fingerprint,
            preprocess=options.preprocess,
            settings=settings_fingerprint(),
            data=0,
            samples=0,
        )
        self._data, self._samples = 0, 0

    def add(self, batch: Batch) -> None:
        """Add one batch; samples with a non-finite activation go the exact, slow way."""
        statistics = self._statistics
        outputs = self._session.run(statistics.outputs, dict(batch.feeds))
        low, high, mean = (batch.samples(o.reshape(len(o), -1)) for o in outputs[:3])
        if self._options.hook is not None:
            self._options.hook.add(statistics.tensors, batch, low, high, mean)
        unknown = [t for t in statistics.tensors if t.size is None]
        counted = iter(outputs[3].tolist() if unknown else ())
        samples = outputs[4 if unknown else 3 :]
        if statistics.batch > 1:
            samples = [batch.samples(o) for o in samples]
        rows = statistics.batch  # what the run itself counts is of all its rows
        sizes = [
            t.size if t.size is not None else next(counted) // rows for t in statistics.tensors
        ]
        good = np.isfinite(mean).all(axis=1)
        self._data = (self._data + sum(batch.digests)) % 2**256
        self._samples += batch.count
        if not good.all():
            for row in np.flatnonzero(~good):
                feeds = {k: v[row : row + 1] for k, v in batch.feeds.items()}
                self._add_nonfinite(feeds, batch.keys[row])
            low, high, mean = low[good], high[good], mean[good]
            if statistics.batch > 1:
                samples = [s[good] for s in samples]
        if len(low):
            self._accumulator.add(low, high, mean, samples, [s * len(low) for s in sizes])

    def _add_nonfinite(self, feeds: dict[str, Any], key: str) -> None:
        """Add one sample by all of its whole tensors."""
        tensors = self._statistics.tensors
        names = [t.tensor for t in tensors]
        if self._full_session is None:
            self._full_session = open_session(
                self._graph.with_outputs(names), threads=self._options.threads
            )
        repeated = {k: np.repeat(v, self._statistics.batch, axis=0) for k, v in feeds.items()}
        computed = [n for n in names if n not in repeated]
        values = dict(zip(computed, self._full_session.run(computed, repeated), strict=True))
        values |= repeated
        profiles = {t.tensor: exact(t, _first(t, values[t.tensor]), key) for t in tensors}
        sample = Profile(tensors=profiles, provenance=self._origin)
        self._nonfinite = sample if self._nonfinite is None else self._nonfinite + sample

    def result(self) -> Profile:
        """Return the profile of all samples so far, those of the unfinished profile included."""
        origin = replace(self._origin, data=self._data, samples=self._samples)
        result = Profile(tensors=self._accumulator.result(), provenance=origin)
        unfinished = self._options.unfinished
        for other in (self._nonfinite, unfinished.profile if unfinished is not None else None):
            result = result if other is None else result + other
        return result


def _first(statistics: TensorStatistics, x: NDArray[Any]) -> NDArray[Any]:
    """Return the part of a tensor that belongs to the first sample."""
    return x if x.ndim == 0 or statistics.reduce is None or 0 in statistics.reduce else x[:1]

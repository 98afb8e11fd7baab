"""The profiling run: every activation of every sample once, at nearly the price of inference."""

__all__ = ["Checkpoint", "SampleHook", "Snapshot", "profile", "settings_fingerprint"]

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
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
    TAP_VERSION,
    StatisticsGraph,
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
    """Return what changes the numbers of a profile besides graph, data and preprocessing."""
    parts = (TAP_VERSION, SAMPLE_SHARE, SAMPLE_LEAST, SAMPLE_MOST, BLIND_STRIDE, HALF)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass
class Checkpoint:
    """Where an unfinished profile is kept, and how often.

    Attributes:
        path: The file; whoever writes the finished profile removes it.
        seconds: The least time between two writes.
    """

    path: Path
    seconds: float = 5.0
    _last: float = field(default_factory=time.monotonic)

    def resume(self, like: Provenance) -> tuple[Profile | None, list[str]]:
        """Return the unfinished profile and its samples' keys, if it is of the same run."""
        if not self.path.exists():
            return None, []
        try:
            kept = load_profile(self.path)
            kept.must_match(graph=like.graph, preprocess=like.preprocess, settings=like.settings)
            return kept, load_done(self.path)
        except InputError:
            return None, []  # of another run, or cut short: begin again

    def due(self) -> bool:
        """Tell whether it is time to write."""
        return time.monotonic() - self._last >= self.seconds

    def keep(self, profile: Profile, done: Sequence[str]) -> None:
        """Write the unfinished profile."""
        save_profile(profile, self.path, done)
        self._last = time.monotonic()


class SampleHook(Protocol):
    """Whoever wants to know of each sample, and not only of all together."""

    def see(
        self, taps: Sequence[TensorStatistics], batch: Batch, low: F32, high: F32, mean: F32
    ) -> None:
        """Take one run: float32 `[batch.count, columns]` each, which may hold what is not finite."""


@dataclass
class Snapshot:
    """Where a profile is looked at on its way.

    Attributes:
        samples: After how many, at the next end of a batch.
        first: Of those; None as long as there are fewer.
    """

    samples: int
    first: Profile | None = None


def profile(
    graph: Graph,
    batches: Iterable[Batch],
    *,
    preprocess: str = "",
    threads: int = 0,
    checkpoint: Checkpoint | None = None,
    before: Profile | None = None,
    done: Sequence[str] = (),
    witness: SampleHook | None = None,
    mark: Snapshot | None = None,
) -> Profile:
    """Watch every activation of `graph` once.

    The result does not depend on the order of the samples or on how they were batched: equal
    multisets of samples give equal bytes.

    Args:
        graph: The prepared graph.
        batches: Input tensors, `tap.micro_batch(graph)` samples each.
        preprocess: Fingerprint of the preprocessing that made the tensors.
        threads: Threads inside one operator; 0 for all cores.
        checkpoint: Where to keep an unfinished profile.
        before: What an interrupted run had, from `Checkpoint.resume`.
        done: Keys of the samples in `before`.
        witness: Is shown every sample's extremes and means.
        mark: Is given the profile of the first samples; those of `before` come first.

    Raises:
        InputError: No sample arrived, or a sample's shape does not fit the model.
    """
    run = _Run(graph, with_statistics(graph), preprocess, threads, witness)
    keys = list(done)
    try:
        for batch in batches:
            run.see(batch)
            keys += batch.keys
            if mark is not None and mark.first is None and len(keys) >= mark.samples:
                mark.first = run.result(before)
            if checkpoint is not None and checkpoint.due():
                checkpoint.keep(run.result(before), keys)
    except KeyboardInterrupt:
        if checkpoint is not None and keys:
            checkpoint.keep(run.result(before), keys)
        raise
    result = run.result(before)
    if not result.provenance.samples:
        raise InputError("profile: no sample arrived, wanted at least 1. Check --data.")
    return result


class _Run:
    """One session and what it has seen."""

    def __init__(
        self,
        graph: Graph,
        tapped: StatisticsGraph,
        preprocess: str,
        threads: int,
        witness: SampleHook | None = None,
    ) -> None:
        self._graph, self._tapped, self._threads = graph, tapped, threads
        self._witness = witness
        self._session = open_session(tapped.model, threads=threads, alone=True)
        self._whole: Any = None
        self._looker = Accumulator(tapped.taps)
        self._odd: Profile | None = None
        self._origin = Provenance(
            graph=graph.fingerprint,
            preprocess=preprocess,
            settings=settings_fingerprint(),
            data=0,
            samples=0,
        )
        self._data, self._samples = 0, 0

    def see(self, batch: Batch) -> None:
        """Take one batch; samples with a non-finite activation go the exact, slow way."""
        outputs = self._session.run(self._tapped.outputs, dict(batch.feeds))
        low, high, mean = (batch.samples(o.reshape(len(o), -1)) for o in outputs[:3])
        if self._witness is not None:
            self._witness.see(self._tapped.taps, batch, low, high, mean)
        unknown = [t for t in self._tapped.taps if t.size is None]
        asked = iter(outputs[3].tolist() if unknown else ())
        samples = outputs[4 if unknown else 3 :]
        if self._tapped.batch > 1:
            samples = [batch.samples(o) for o in samples]
        rows = self._tapped.batch  # what the run itself counts is of all its rows
        sizes = [t.size if t.size is not None else next(asked) // rows for t in self._tapped.taps]
        good = np.isfinite(mean).all(axis=1)
        self._data = (self._data + sum(batch.digests)) % 2**256
        self._samples += batch.count
        if not good.all():
            for row in np.flatnonzero(~good):
                self._see_odd(
                    {k: v[row : row + 1] for k, v in batch.feeds.items()}, batch.keys[row]
                )
            low, high, mean = low[good], high[good], mean[good]
            if self._tapped.batch > 1:
                samples = [s[good] for s in samples]
        if len(low):
            self._looker.see(low, high, mean, samples, [s * len(low) for s in sizes])

    def _see_odd(self, feeds: dict[str, Any], key: str) -> None:
        """Look at all whole tensors of one sample."""
        names = [t.tensor for t in self._tapped.taps]
        if self._whole is None:
            self._whole = open_session(self._graph.with_outputs(names), threads=self._threads)
        repeat = self._tapped.batch
        full = {k: np.repeat(v, repeat, axis=0) for k, v in feeds.items()}
        inputs = set(full)
        wanted = [n for n in names if n not in inputs]
        values = dict(zip(wanted, self._whole.run(wanted, full), strict=True)) | full
        seen = {t.tensor: exact(t, _first(t, values[t.tensor]), key) for t in self._tapped.taps}
        odd = Profile(tensors=seen, provenance=self._origin)
        self._odd = odd if self._odd is None else self._odd + odd

    def result(self, before: Profile | None) -> Profile:
        """Return all that was seen, and `before`."""
        origin = Provenance(
            graph=self._origin.graph,
            preprocess=self._origin.preprocess,
            settings=self._origin.settings,
            data=self._data,
            samples=self._samples,
        )
        found = Profile(tensors=self._looker.result(), provenance=origin)
        for other in (self._odd, before):
            found = found if other is None else found + other
        return found


def _first(tap: TensorStatistics, x: NDArray[Any]) -> NDArray[Any]:
    """Return the part of a tensor that belongs to the first sample."""
    return x if x.ndim == 0 or tap.reduce is None or 0 in tap.reduce else x[:1]

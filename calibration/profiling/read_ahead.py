"""Decode samples ahead in threads and hand them on in order, whatever the timing."""

__all__ = ["Broken", "Sample", "digest", "read_ahead"]

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from quant.calibration.sources.data import Array, BadSample, Data


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample that was read."""

    key: str
    feeds: dict[str, Array]
    label: int | None
    digest: int


@dataclass(frozen=True, slots=True)
class Broken:
    """A sample that could not be read, and why."""

    key: str
    reason: str


def read_ahead(
    data: Data, indices: Sequence[int], ahead: int, workers: int
) -> Iterator[Sample | Broken]:
    """Yield the samples at `indices`, in that order, with at most `ahead` samples waiting.

    Closing the iterator stops the threads; an error of the data comes where its sample would.

    Args:
        data: The samples.
        indices: Which of them.
        ahead: The most samples that wait in memory.
        workers: Threads that read.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="quant-read")
    queue: deque[Future[Sample | Broken]] = deque()
    try:
        for i in indices:
            queue.append(pool.submit(_read, data, i))
            if len(queue) >= ahead:
                yield queue.popleft().result()
        while queue:
            yield queue.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(data: Data, i: int) -> Sample | Broken:
    key = data.key(i)
    try:
        feeds = data.read(i)
        return Sample(key, feeds, data.label(i), digest(feeds))
    except BadSample as error:
        return Broken(key, error.reason)


def digest(feeds: dict[str, Array]) -> int:
    """Return SHA-256 over the names, dtypes, shapes and bytes, as an integer; sorted by name."""
    sha = hashlib.sha256()
    for name in sorted(feeds):
        array = feeds[name]
        sha.update(f"{name}\x1f{array.dtype.str}\x1f{array.shape}\x1e".encode())
        sha.update(array.tobytes())
    return int.from_bytes(sha.digest(), "big")

"""Samples as batches: read ahead in threads, stacked in order, broken ones skipped and counted."""

__all__ = ["batches"]

from collections.abc import Iterator, Sequence

import numpy as np

from quant.calibration.profiling.read_ahead import Broken, Sample, read_ahead
from quant.calibration.sources.data import Data, printable
from quant.common.errors import InputError
from quant.compare.batch import Batch

WORKERS = 2
"""Threads that read and decode samples."""


def batches(
    data: Data,
    indices: Sequence[int],
    size: int,
    *,
    bad: list[tuple[str, str]],
    max_bad: float,
) -> Iterator[Batch]:
    """Yield the samples at `indices`, in that order, `size` at a time.

    At most ``size + 2 * WORKERS`` samples wait in memory. What is yielded never depends on timing.
    Closing the iterator stops the threads.

    Args:
        data: The samples.
        indices: Which of them.
        size: Rows of a batch, at least 1.
        bad: Takes (key, reason) of every broken sample, in order.
        max_bad: Largest share of `indices` that may be broken, 0 to 1. Once it is exceeded no more
            batches come; the rest is read only to count.

    Raises:
        InputError: Too many samples are broken, or all; or samples differ in shape and `size` is
            over 1; or the data refuses a sample.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, saw {size}.")
    before, first, pending = len(bad), None, list[Sample]()
    for sample in read_ahead(data, indices, size + 2 * WORKERS, WORKERS):
        if isinstance(sample, Broken):
            bad.append((sample.key, sample.reason))
        elif len(bad) - before <= max_bad * len(indices):
            first = first or sample
            if size > 1:
                _must_match(sample, first)
            pending.append(sample)
        if len(pending) == size:
            yield _batch(pending, size)
            pending = []
    broken = bad[before:]
    if broken and len(broken) == len(indices) and max_bad < 1:
        raise InputError(
            f"--data {data.name}: none of the {len(indices)} samples can be read: "
            f"{_reasons(broken)}. Give images or arrays."
        )
    if len(broken) > max_bad * len(indices):
        raise InputError(
            f"--data {data.name}: at most {100 * max_bad:g} % of the samples may be broken, saw "
            f"{len(broken)} of {len(indices)}: {_reasons(broken)}. Mend them, or raise --max-bad."
        )
    if pending:
        yield _batch(pending, size)


def _must_match(sample: Sample, first: Sample) -> None:
    """Refuse a sample of another shape than the first one."""
    for name, array in sample.feeds.items():
        if array.shape != first.feeds[name].shape:
            shapes = ["x".join(map(str, s.feeds[name].shape)) for s in (sample, first)]
            raise InputError(
                f"{printable(sample.key)}: the samples of a batch have one shape, saw {shapes[0]} "
                f"after {shapes[1]}. Give --size WIDTHxHEIGHT."
            )


def _batch(samples: Sequence[Sample], size: int) -> Batch:
    rows = [*samples, *[samples[-1]] * (size - len(samples))]
    return Batch(
        keys=tuple(sample.key for sample in samples),
        feeds={name: np.stack([sample.feeds[name] for sample in rows]) for name in rows[0].feeds},
        labels=tuple(sample.label for sample in samples),
        digests=tuple(sample.digest for sample in samples),
        count=len(samples),
    )


def _reasons(broken: Sequence[tuple[str, str]], listed_count: int = 3) -> str:
    listed = [f"'{printable(key)}' ({printable(reason)})" for key, reason in broken[:listed_count]]
    more = f" and {len(broken) - listed_count} more" if len(broken) > listed_count else ""
    return ", ".join(listed) + more

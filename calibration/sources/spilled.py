"""Samples that an iterable yields only once, kept in a temporary folder to be read again."""

__all__ = ["SPILL_LIMIT", "BatchRows", "Spilled"]

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from quant.calibration.sources.data import BadSample
from quant.calibration.sources.items import Convert, Sample, failed
from quant.common.errors import InputError

SPILL_LIMIT = 16 << 30
"""Bytes that an iterable may fill the temporary folder with: an endless one must end."""

BatchRows: TypeAlias = Callable[[Any, str], list[Any] | None]


class Spilled:
    """Samples in a temporary folder, which goes when this object goes or the program ends.

    Args:
        name: What messages call the iterable.
        items: The iterable; batches of it are taken apart.
        rows: The function from an item to the samples of a batch, or None.
        convert: The function from one item to a sample.
        most: Samples after which the rest is left unread; None to read to the end.

    Raises:
        InputError: The iterable fails, or fills more than SPILL_LIMIT bytes.
    """

    def __init__(
        self,
        name: str,
        items: Iterable[Any],
        rows: BatchRows,
        convert: Convert,
        most: int | None = None,
    ):
        self._folder = Path(tempfile.mkdtemp(prefix="quant-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._heads: list[tuple[tuple[str, ...], int | None] | BadSample] = []
        size = 0
        for sample in islice(_samples(name, items, rows, convert), most):
            if isinstance(sample, BadSample):
                self._heads.append(sample)
                continue
            feeds, label = sample
            path = self._folder / f"{len(self)}.npz"
            np.savez(path, *feeds.values(), allow_pickle=False)
            self._heads.append((tuple(feeds), label))
            size += path.stat().st_size
            if size > SPILL_LIMIT:
                raise InputError(
                    f"{name}: an iterable may hold {SPILL_LIMIT >> 30} GiB, saw more after "
                    f"{len(self)} samples. End it sooner, or return a sequence."
                )

    def __len__(self) -> int:
        return len(self._heads)

    def __getitem__(self, i: int) -> Sample:
        head = self._heads[i]
        if isinstance(head, BadSample):
            raise head
        names, label = head
        with np.load(self._folder / f"{i}.npz", allow_pickle=False) as archive:
            return {name: archive[f"arr_{k}"] for k, name in enumerate(names)}, label


def _samples(
    name: str, items: Iterable[Any], rows: BatchRows, convert: Convert
) -> Iterator[Sample | BadSample]:
    """Yield the samples of the iterable; only its own errors are reported as its own."""
    count = 0
    try:
        stream = iter(items)
    except Exception as error:
        raise failed(name, error) from error
    while True:
        key = f"{name}[{count}]"
        try:
            item = next(stream)
        except StopIteration:
            return
        except Exception as error:
            raise failed(key, error) from error
        parts = rows(item, key)
        for part in [item] if parts is None else parts:
            try:
                yield convert(part, f"{name}[{count}]")
            except BadSample as error:
                yield error
            count += 1

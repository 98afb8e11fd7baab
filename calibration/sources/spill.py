"""Spilling: an iterable's samples in a temporary folder, so that memory stays flat."""

__all__ = ["SPILL_LIMIT", "Spilled"]

import shutil
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from quant.calibration.sources.items import Convert, Sample, failed
from quant.common.errors import InputError

SPILL_LIMIT = 16 << 30
"""Bytes that an iterable may fill the temporary folder with: an endless one must end."""


class Spilled:
    """Samples in a temporary folder, which goes when this object goes or the program ends.

    Raises:
        InputError: The iterable fails, or fills more than SPILL_LIMIT bytes.
    """

    def __init__(self, name: str, made: Iterable[Any], convert: Convert):
        self._folder = Path(tempfile.mkdtemp(prefix="quant-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._heads: list[tuple[tuple[str, ...], int | None]] = []
        size = 0
        for feeds, label in _samples(name, made, convert):
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
        names, label = self._heads[i]
        with np.load(self._folder / f"{i}.npz", allow_pickle=False) as archive:
            return {name: archive[f"arr_{k}"] for k, name in enumerate(names)}, label


def _samples(name: str, made: Iterable[Any], convert: Convert) -> Iterable[Sample]:
    """Yield the samples of the iterable; only its own errors are reported as its own."""
    i = 0
    try:
        stream = iter(made)
    except Exception as error:
        raise failed(name, error) from error
    while True:
        key = f"{name}[{i}]"
        try:
            item = next(stream)
        except StopIteration:
            return
        except Exception as error:
            raise failed(key, error) from error
        yield convert(item, key)
        i += 1

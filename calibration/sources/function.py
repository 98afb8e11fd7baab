"""Function: samples that the user's own Python makes."""

__all__ = ["SPILL_LIMIT", "Function", "Spilled"]

import importlib
import os
import re
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quant.calibration.sources.data import SOURCES, InputSpec, Labels
from quant.calibration.sources.items import Convert, Items, Sample, converter, failed
from quant.calibration.sources.labels import read_labels
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess

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


@SOURCES.add("function")
class Function:
    """``module:function``, called without arguments; the current folder is importable.

    It returns a sequence, which is read when needed and from several threads, or any iterable,
    which is written to a temporary folder first, so that memory stays flat. An item is an array
    without batch axis, a Pillow image, a dict of one for each input's name, or a tuple of such and
    an integer label. A sequence raises `quant.calibration.BadSample` to have an item skipped.
    """

    @staticmethod
    def accepts(spec: str) -> bool:
        """Return whether it reads ``module:function``."""
        return re.fullmatch(r"[^\W\d]\w*(\.\w+)*:[^\W\d]\w*(\.\w+)*", spec) is not None

    @staticmethod
    def open(
        spec: str, inputs: Sequence[InputSpec], preprocess: Preprocess, labels: Labels
    ) -> Items:
        """Return what the function makes; raises InputError, with its name, if it fails."""
        if labels == "folders":
            raise InputError(f"--labels folders: needs a folder of images, saw '{spec}'. Drop it.")
        made = _made(spec)
        convert = converter(inputs, preprocess)
        if hasattr(made, "__getitem__") and hasattr(made, "__len__"):
            items = Items(spec, made, convert)
        else:
            items = Items(spec, Spilled(spec, made, convert), lambda sample, _: sample)
        if not len(items):
            raise InputError(f"{spec}: the function gave no sample. Give at least one.")
        if labels is not None:
            items.labels = read_labels(labels, [items.key(i) for i in range(len(items))], spec)
        return items


def _made(spec: str) -> Any:
    """Import the module, call the function, and return what it returned."""
    module, _, path = spec.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise InputError(
                f"{spec}: no module is named '{error.name}', neither installed nor in the current "
                f"folder. Mend the name, or change to its folder."
            ) from error
        raise failed(spec, error) from error
    for name in path.split("."):
        found = getattr(found, name, None)
    if not callable(found):
        raise InputError(f"{spec}: '{path}' is no function of '{module}'. Mend the name.")
    try:
        made = found()
    except Exception as error:
        raise failed(spec, error) from error
    if isinstance(made, str | bytes | dict) or not (
        isinstance(made, Iterable) or (hasattr(made, "__getitem__") and hasattr(made, "__len__"))
    ):
        raise InputError(
            f"{spec}: the function returns a sequence or an iterable of samples, saw "
            f"'{type(made).__name__}'. Return a list, or yield the samples."
        )
    return made

"""Function: samples that the user's own Python makes."""

__all__ = ["Function"]

import importlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from quant.calibration.sources.data import SOURCES, InputSpec, Labels
from quant.calibration.sources.items import Items, converter, failed
from quant.calibration.sources.labels import read_labels
from quant.calibration.sources.spill import Spilled
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess


@SOURCES.add("function")
class Function:
    """``module:function``, called without arguments; the current folder is importable.

    It returns a sequence, which is read when needed and from several threads, or any iterable,
    which is written to a temporary folder first, so that memory stays flat. An item is an array
    without batch axis, a Pillow image, a dict of one for each input's name, or a tuple of such and
    an integer label. A sequence raises `quant.calibration.BadSample` to have an item skipped.
    """

    @staticmethod
    def takes(spec: str) -> bool:
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

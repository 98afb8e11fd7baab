"""The samples that a user's own Python function gives."""

__all__ = ["Function"]

import re
from collections.abc import Iterable, Sequence
from typing import Any

from quant.calibration.sources.data import SOURCES, InputSpec, Labels
from quant.calibration.sources.items import Items, failed
from quant.calibration.sources.sequences import open_items
from quant.common.errors import InputError
from quant.common.named_object import named_object
from quant.preprocess.image_to_tensor import Preprocess


@SOURCES.add("function")
class Function:
    """``module:function``, called without arguments, gives samples or batches; docs/data.md.

    The current folder is importable. The function returns a sequence, which is read when needed and
    from several threads, or any iterable, which is written to a temporary folder first, so that
    memory stays flat. An item is an array, a Pillow image, the path of an image file, a dict of one
    for each input's name, or a pair of such and a class. An array with as many axes as the model's
    input is a batch of samples, and one with an axis fewer is one sample. A sequence raises
    `quant.calibration.BadSample` to have an item skipped.
    """

    @staticmethod
    def accepts(spec: str) -> bool:
        """Return whether it reads ``module:function``."""
        return re.fullmatch(r"[^\W\d]\w*(\.\w+)*:[^\W\d]\w*(\.\w+)*", spec) is not None

    @staticmethod
    def open(
        spec: str, inputs: Sequence[InputSpec], preprocess: Preprocess, labels: Labels
    ) -> Items:
        """Return the samples of the function; raises InputError, with its name, if it fails."""
        return open_items(spec, _called(spec), inputs, preprocess, labels)


def _called(spec: str) -> Any:
    """Import the module, call the function, and return what it returned."""
    function = named_object(spec, spec)
    if not callable(function):
        raise InputError(f"{spec}: a function is wanted, saw '{function!r}'. Name a function.")
    try:
        samples = function()
    except Exception as error:
        raise failed(spec, error) from error
    if isinstance(samples, str | bytes | dict) or not (
        isinstance(samples, Iterable)
        or (hasattr(samples, "__getitem__") and hasattr(samples, "__len__"))
    ):
        raise InputError(
            f"{spec}: the function returns a sequence or an iterable of samples, saw "
            f"'{type(samples).__name__}'. Return a list, or yield the samples."
        )
    return samples

"""What every function of the API does first and last: check its arguments, and warn its caller."""

__all__ = ["given_arguments", "passive_threads", "warn_caller"]

import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from quant.api.options import unknown_keyword


def given_arguments(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function's own arguments, after a check of the keywords that it hands on."""
    known = [name for name in inspect.signature(function).parameters if name != "image"]
    unknown_keyword(function.__name__, given.get("image", {}), known)
    return dict(given)


def passive_threads() -> None:
    """Keep torch's threads from spinning between two steps, against ONNX Runtime's.

    OpenMP reads this once, when torch is imported; measured: 12 s of work took 87 s without it.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def warn_caller(sentences: Iterable[str]) -> None:
    """Warn of each sentence, as of the line that called a function of the API."""
    for sentence in sentences:
        warnings.warn(sentence, stacklevel=3)

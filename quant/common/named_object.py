"""The Python object that `module:name` stands for, on a command line or in a file."""

__all__ = ["named_object"]

import importlib
import os
import sys
from difflib import get_close_matches
from typing import Any

from quant.common.errors import InputError


def named_object(spec: str, place: str) -> Any:
    """Return what `module:name` or `module:Class.name` stands for; the current folder is importable.

    Args:
        spec: The module and the name, joined by a colon.
        place: What a message starts with: the flag or the file that holds `spec`.

    Raises:
        InputError: There is no such module or name, or the module fails while it is imported.
    """
    module, _, path = spec.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        value: Any = importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise InputError(
                f"{place}: no module is named '{error.name}', neither installed nor in the current "
                "folder. Mend the name, or change to its folder."
            ) from error
        text = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(": .")
        raise InputError(
            f"{place}: importing '{module}' failed with '{text}'. --debug shows where."
        ) from error
    owner = module
    for name in path.split("."):
        if not hasattr(value, name):
            near = get_close_matches(name, dir(value), n=1)
            fix = f"Did you mean '{near[0]}'?" if near else "Name a function or class that it has."
            raise InputError(f"{place}: '{owner}' has no '{name}'. {fix}")
        value, owner = getattr(value, name), f"{owner}.{name}"
    return value

"""Turn `module:factory` into an ONNX model: import it, build it, export it."""

__all__ = ["load_torch"]

import importlib
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch

from quant.common.errors import InputError, UnsupportedError
from quant.load.torch_export import export

HOW = (
    "Return (module, example_inputs) from the factory, or set module.example_inputs, a tensor or "
    "a tuple of tensors."
)


def load_torch(source: str) -> ir.Model:
    """Return the module behind `module:factory`, in eval mode, as an onnx_ir model.

    The working folder is importable. The batch stays dynamic where the module allows it.

    Raises:
        InputError: There is no such module or factory, it raises, what it gives is no `nn.Module`,
            or no example input is known.
        UnsupportedError: torch.onnx exports the module neither with dynamo nor without it.
    """
    module, example = _build(source)
    module.eval()
    try:
        return export(module, example)
    except Exception as error:  # whatever the exporters or the module itself raise
        raise UnsupportedError(
            f"{source}: torch.onnx {torch.__version__} must be able to export the module, and said "
            f"'{_one_line(error)}'. Export it to ONNX yourself and give the file."
        ) from error


def _build(source: str) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    """Return the module and its example inputs."""
    made = factory = _find(source)
    if not isinstance(factory, torch.nn.Module):
        if not callable(factory):
            raise _no_module(source, factory)
        try:
            made = factory()
        except Exception as error:
            raise InputError(
                f"{source}: The factory must run without arguments, and raised "
                f"{type(error).__name__} '{_one_line(error)}'. Mend it, or wrap it in one that runs."
            ) from error
    example = None
    if isinstance(made, tuple) and len(made) == 2:
        made, example = made
    if not isinstance(made, torch.nn.Module):
        raise _no_module(source, made)
    if example is None:
        example = getattr(made, "example_inputs", getattr(factory, "example_inputs", None))
    inputs = tuple(example) if isinstance(example, tuple | list) else (example,)
    if not inputs or not all(isinstance(x, torch.Tensor) for x in inputs):
        seen = "none" if example is None else f"a {type(example).__name__}"
        raise InputError(f"{source}: The export needs an example input, saw {seen}. {HOW}")
    return made, inputs


def _no_module(source: str, seen: object) -> InputError:
    return InputError(
        f"{source}: The factory must give a torch.nn.Module, saw a {type(seen).__name__}. {HOW}"
    )


def _find(source: str) -> Any:
    """Import the module and return the object after the colon."""
    name, _, path = source.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(name)
    except Exception as error:
        raise InputError(
            f"{source}: The module '{name}' must be importable, and raised {type(error).__name__} "
            f"'{_one_line(error)}'. Run from its folder, or install it."
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, dir(found), n=1)
            mend = f"Did you mean '{near[0]}'?" if near else "Name a function or class that it has."
            raise InputError(
                f"{source}: The factory must be in the module, and '{name}' has no '{part}'. {mend}"
            )
        found = getattr(found, part)
    return found


def _one_line(error: Exception) -> str:
    """Return the first line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).replace("'", '"').rstrip(".")

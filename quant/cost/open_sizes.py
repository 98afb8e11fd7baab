"""The shapes of a graph's inputs, with open lengths filled in from `--size`."""

__all__ = ["chosen_sizes"]

import re
from collections.abc import Sequence
from difflib import get_close_matches

import onnx_ir as ir

from quant.common.errors import InputError
from quant.common.parse import width_by_height
from quant.graph.prepared_graph import Graph


def chosen_sizes(graph: Graph, sizes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every input, including the batch axis; an open batch becomes 1.

    Args:
        graph: The prepared graph.
        sizes: Values of `--size`: "WIDTHxHEIGHT" for the open axes of every input of rank 4, or
            "NAME=1x3x224x224", the whole shape of one input.

    Raises:
        InputError: A value has neither form, names an unknown input or contradicts the graph, or an
            axis stays open.
    """
    inputs = {str(v.name): v for v in graph.inputs}
    named: dict[str, tuple[int, ...]] = {}
    wide: tuple[int, int] | None = None
    for text in sizes:
        name, mark, shape = text.rpartition("=")
        if mark:
            named[_input(name, inputs)] = _shape(shape, text)
        else:
            wide = width_by_height(text, "--size")
    return {name: _filled(name, value, named.get(name), wide) for name, value in inputs.items()}


def _input(name: str, inputs: Sequence[str] | dict[str, ir.Value]) -> str:
    if name not in inputs:
        near = get_close_matches(name, list(inputs), n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(
            f"--size: no input is named '{name}'.{hint} Known: {', '.join(sorted(inputs))}."
        )
    return name


def _shape(text: str, whole: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8})*", text):
        raise InputError(
            f"--size: a shape is whole numbers joined by x, saw '{whole}'. Write NAME=1x3x224x224."
        )
    return tuple(int(part) for part in text.split("x"))


def _filled(
    name: str, value: ir.Value, shape: tuple[int, ...] | None, wide: tuple[int, int] | None
) -> tuple[int, ...]:
    """Return the shape of an input; raises InputError for a contradiction or an open axis."""
    dims = list(value.shape) if value.shape is not None else None
    if shape is not None:
        same_rank = dims is None or len(dims) == len(shape)
        if not same_rank or any(isinstance(d, int) and d != s for d, s in zip(dims or (), shape)):  # noqa: B905
            fixed = "x".join(str(d) if isinstance(d, int) else "?" for d in dims or ())
            raise InputError(
                f"--size: input '{name}' has the shape {fixed}, saw "
                f"{'x'.join(map(str, shape))}. Leave what is fixed as it is."
            )
        return shape
    if dims is None:
        raise InputError(
            f"input '{name}': its shape is not known, and a time needs one. Give --size "
            f"'{name}=1x3x224x224' with its lengths."
        )
    dims = [1 if i == 0 and not isinstance(d, int) else d for i, d in enumerate(dims)]
    if wide is not None and len(dims) == 4:
        dims = _spatial(name, dims, wide)
    unknown = [i for i, d in enumerate(dims) if not isinstance(d, int)]
    if unknown:
        example = "x".join(str(d) if isinstance(d, int) else "N" for d in dims)
        mend = (
            "WIDTHxHEIGHT" if len(dims) == 4 and set(unknown) <= {1, 2, 3} else f"{name}={example}"
        )
        raise InputError(
            f"input '{name}': the length of axis {', '.join(map(str, unknown))} is open, and a time "
            f"needs it. Give --size {mend}."
        )
    return tuple(d for d in dims if isinstance(d, int))


def _spatial(
    name: str, dims: list[int | ir.SymbolicDim], wide: tuple[int, int]
) -> list[int | ir.SymbolicDim]:
    """Fill in height and width of an image; channels come first unless they clearly come last."""
    last = isinstance(dims[3], int) and dims[3] in (1, 3, 4) and dims[1] not in (1, 3, 4)
    axes = (1, 2) if last else (2, 3)
    for axis, length in zip(axes, (wide[1], wide[0]), strict=True):
        if isinstance(dims[axis], int) and dims[axis] != length:
            raise InputError(
                f"--size: input '{name}' is fixed at length {dims[axis]} in axis {axis}, saw {length}. "
                "Leave --size out, or export the model with open axes."
            )
        dims[axis] = length
    return dims

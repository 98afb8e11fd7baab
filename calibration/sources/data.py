"""Numbered samples of a model's inputs, and the table of sources that can open them."""

__all__ = [
    "SOURCES",
    "Array",
    "BadSample",
    "Data",
    "InputSpec",
    "Labels",
    "Source",
    "input_specs",
    "key_of",
    "open_data",
    "printable",
]

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.common.registry import Registry
from quant.preprocess.image_to_tensor import Preprocess

if TYPE_CHECKING:
    from quant.graph.prepared_graph import Graph
    from quant.job.settings import OpensData

Array: TypeAlias = NDArray[Any]


Labels: TypeAlias = Path | Literal["folders"] | None
"""A CSV file, one folder a class, or whatever the source itself knows."""


class BadSample(Exception):
    """One sample that cannot be read; it is skipped and counted, the others go on.

    Attributes:
        reason: A short phrase without the sample's name: "truncated".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One input of a model.

    Attributes:
        name: Its name in the graph.
        dtype: The type of its numbers.
        shape: With the batch axis first; None where a length is free: ``(None, 3, 224, 224)``.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


class Data(Protocol):
    """Samples, numbered from 0, in an order that every machine and every run agrees on."""

    @property
    def name(self) -> str:
        """The user's --data."""

    def __len__(self) -> int: ...

    def key(self, i: int) -> str:
        """Return the key of sample `i`: "cats/1.jpg" below a folder, or "file.npz[12]"."""

    def read(self, i: int) -> dict[str, Array]:
        """Return an array for each of the model's inputs, WITHOUT batch axis; from any thread.

        Raises:
            BadSample: This sample is broken.
            InputError: All samples of this kind would be refused, such as a wrong shape.
        """

    def label(self, i: int) -> int | None:
        """Return the class of sample `i`, from 0, or None if there are no labels."""


class Source(Protocol):
    """A kind of place where data comes from. Register one with ``@SOURCES.add("name")``."""

    def accepts(self, spec: str) -> bool:
        """Return whether `spec`, what the user gave as --data, is for this source.

        Every source is asked about every text. So this looks at the name and the kind of file, reads
        nothing, and does not raise.
        """

    def open(
        self, spec: str, inputs: Sequence[InputSpec], preprocess: Preprocess, labels: Labels
    ) -> Data:
        """Return the samples at `spec`; at least one.

        Raises:
            InputError: There are none, or they do not fit the inputs or the labels.
        """


SOURCES: Registry[Source] = Registry(
    "data source", "quant.calibration.sources", group="quant.sources"
)


def open_data(
    spec: "str | OpensData",
    inputs: Sequence[InputSpec],
    preprocess: Preprocess,
    labels: Labels = None,
) -> Data:
    """Return the samples at `spec`, opened by the one source that takes it, or by themselves.

    Args:
        spec: The user's --data, or data in memory.
        inputs: The inputs of the model.
        preprocess: How an image becomes a tensor.
        labels: A CSV file, "folders", or None.

    Raises:
        InputError: No source takes it, or more than one; or the source refuses it.
    """
    if not isinstance(spec, str):
        data: Data = spec.open(inputs, preprocess, labels)
        return data
    accepting = [name for name in SOURCES if SOURCES[name].accepts(spec)]
    if len(accepting) > 1:
        raise InputError(
            f"--data {spec}: only one source may take it, saw {', '.join(accepting)}. "
            f"Rename the data, or remove one source."
        )
    if not accepting:
        state = "is of no known kind" if os.path.exists(spec) else "does not exist"
        raise InputError(
            f"--data {spec}: {state}. Give a folder of images, a .txt list, a .npy or .npz file, "
            f"or module:function."
        )
    return SOURCES[accepting[0]].open(spec, inputs, preprocess, labels)


def key_of(path: str) -> str:
    """Return a relative path as a key: POSIX slashes, bytes outside UTF-8 as backslash and hex."""
    return os.fsencode(path.replace(os.sep, "/")).decode("utf-8", "backslashreplace")


def printable(text: str) -> str:
    """Return text for a message of one line: control characters as Python spells them.

    >>> print(printable("two" + chr(10) + "lines.jpg").replace(chr(92), "/"))
    two/nlines.jpg
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def input_specs(graph: "Graph") -> list[InputSpec]:
    """Return the inputs of a graph as the data sources need them."""
    specs = []
    for value in graph.inputs:
        shape = value.shape if value.shape is not None else ()
        kind = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
        sizes = tuple(d if isinstance(d, int) else None for d in shape)
        specs.append(InputSpec(name=str(value.name), dtype=kind, shape=sizes))
    return specs

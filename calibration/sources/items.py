"""The items that a user's Python hands over, each one sample or a batch of them, as samples.

An item is an array, a Pillow image, the path of an image file, or a dict of such by input name; or
a pair of one of these and a class. An array with as many axes as the model's input is a batch, and
its first axis counts the samples; an array with one axis fewer is one sample.
"""

__all__ = [
    "Convert",
    "Indexed",
    "Items",
    "Sample",
    "array_of",
    "batch_rows",
    "class_numbers",
    "converter",
    "failed",
]

import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from PIL import Image

from quant.calibration.sources.data import Array, BadSample, InputSpec
from quant.calibration.sources.decode import eight_bit, open_image
from quant.calibration.sources.input_converter import InputConverter, image_converter, refuse_unused
from quant.common.errors import InputError, few
from quant.preprocess.image_to_tensor import Preprocess

Sample: TypeAlias = tuple[dict[str, Array], int | None]
Convert: TypeAlias = Callable[[Any, str], Sample]


class Indexed(Protocol):
    """What a user's sequence must have."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> Any: ...


class Items:
    """A user's sequence as Data; an error inside it is reported with its name.

    Args:
        name: The user's --data: "module:function".
        items: The sequence.
        convert: The function from an item and its key to a sample.
        stem: First part of every key; None for the name.
    """

    def __init__(
        self, name: str, items: Indexed, convert: Convert, stem: str | None = None
    ) -> None:
        self.name = name
        self._items, self._convert, self._stem = items, convert, stem or name
        self._labels: dict[int, int | None] = {}
        self.labels: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def key(self, i: int) -> str:
        """Return "module:function[12]"."""
        return f"{self._stem}[{i}]"

    def read(self, i: int) -> dict[str, Array]:
        """Return item `i` as a sample, and remember its label."""
        try:
            item = self._items[i]
        except BadSample:
            raise
        except Exception as error:
            raise failed(self.key(i), error) from error
        feeds, self._labels[i] = self._convert(item, self.key(i))
        return feeds

    def label(self, i: int) -> int | None:
        """Return the label that came with item `i`, unless a CSV file has given others."""
        if self.labels is not None:
            return self.labels[i]
        if i not in self._labels:
            self.read(i)
        return self._labels[i]


def failed(place: str, error: Exception) -> InputError:
    """Return the error to raise for one inside the user's code."""
    text = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(": .")
    return InputError(f"{place}: it failed with '{text}'. --debug shows where.")


def array_of(value: Any) -> Array:
    """Return numbers as an array of numpy: a tensor of torch leaves its graph and its device.

    Raises:
        Exception: Whatever the value raises that cannot be an array.
    """
    if not isinstance(value, np.ndarray) and hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
    return np.asarray(value)


def class_numbers(value: Any) -> Array | None:
    """Return a class (0 axes) or a row of classes (1 axis) as whole numbers; None if it is neither."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return np.asarray(int(value))
    if isinstance(value, list) and value and all(isinstance(number, Integral) for number in value):
        return np.array([int(number) for number in value], np.int64)
    if not hasattr(value, "shape"):
        return None
    array = array_of(value)
    return array if array.dtype.kind in "iu" and array.ndim <= 1 else None


def _pair(item: Any, key: str) -> tuple[Any, Array | None]:
    """Return what feeds the model, and the class or classes that came with it."""
    if not isinstance(item, tuple | list) or len(item) != 2:
        return item, None
    if isinstance(item, list) and not (hasattr(item[0], "shape") or isinstance(item[0], Mapping)):
        return item, None  # nested numbers
    classes = class_numbers(item[1])
    if classes is not None:
        return item[0], classes
    if isinstance(item, tuple):
        raise InputError(
            f"{key}: the second of a pair is its class, a whole number, saw "
            f"'{type(item[1]).__name__}'. Give the first alone, or a dict by input name."
        )
    return item, None


def batch_rows(inputs: Sequence[InputSpec]) -> Callable[[Any, str], list[Any] | None]:
    """Return the function from an item and its key to the samples of a batch; None for one sample.

    Raises:
        InputError: Arrays of one item differ in their number of samples.
    """
    axes = {spec.name: len(spec.shape) for spec in inputs}

    def is_batch(name: str, value: Any) -> bool:
        shape = getattr(value, "shape", None)
        return bool(axes.get(name)) and shape is not None and len(shape) == axes[name]

    def rows(item: Any, key: str) -> list[Any] | None:
        feeds, classes = _pair(item, key)
        only = next(iter(axes)) if len(axes) == 1 else ""
        named = feeds if isinstance(feeds, Mapping) else {only: feeds}
        if not any(is_batch(str(name), value) for name, value in named.items()):
            return None
        sizes = {f"'{name}'": len(value) for name, value in named.items()}
        if classes is not None:
            sizes["its classes"] = len(classes) if classes.ndim else 1
        if len(set(sizes.values())) != 1:
            counts = ", ".join(f"{name} {n}" for name, n in sizes.items())
            raise InputError(
                f"{key}: every array of a batch has the same number of samples, saw {counts}. "
                "Mend the batch."
            )
        parts: list[Any] = []
        for i in range(next(iter(sizes.values()))):
            part = (
                {name: value[i] for name, value in feeds.items()}
                if isinstance(feeds, Mapping)
                else feeds[i]
            )
            parts.append(part if classes is None else (part, int(classes.reshape(-1)[i])))
        return parts

    return rows


def converter(inputs: Sequence[InputSpec], preprocess: Preprocess) -> Convert:
    """Return the function from a user's item and its key to a sample of these inputs.

    The function raises InputError for an item that does not fit the inputs, and BadSample for a
    broken image.
    """
    converters = {spec.name: InputConverter(spec, preprocess) for spec in inputs}

    def value(item_value: Any, name: str, key: str) -> tuple[Array, bool]:
        """Return the tensor, and whether it was an image."""
        if isinstance(item_value, str | os.PathLike):
            item_value = open_image(Path(item_value))
        if isinstance(item_value, Image.Image):
            image = eight_bit(item_value)
            fitting = image_converter([converters[name].spec], preprocess, key)
            return fitting.image(image, key), True
        try:
            array = array_of(item_value)
        except Exception as error:
            raise failed(key, error) from error
        return converters[name].array(array, key), converters[name].sees_image(array)

    def convert(item: Any, key: str) -> Sample:
        item, classes = _pair(item, key)
        if not isinstance(item, Mapping) and len(converters) == 1:
            item = {next(iter(converters)): item}
        if not isinstance(item, Mapping) or set(item) != set(converters):
            kinds = few(map(str, item)) if isinstance(item, Mapping) else f"'{type(item).__name__}'"
            raise InputError(
                f"{key}: an item is a dict with a key for each input, saw {kinds} and wanted "
                f"{few(converters)}. Mend the names."
            )
        if classes is not None and classes.size != 1:
            raise InputError(
                f"{key}: a sample has one class, saw {classes.size}. Give one whole number."
            )
        label = int(classes.reshape(-1)[0]) if classes is not None else None
        values = {name: value(item[name], name, key) for name in converters}
        feeds = {name: tensor for name, (tensor, _) in values.items()}
        refuse_unused(preprocess, feeds, any(image for _, image in values.values()), key)
        return feeds, label

    return convert

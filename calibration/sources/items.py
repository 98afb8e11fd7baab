"""Items: what a user's Python hands over, as Data."""

__all__ = ["Convert", "Indexed", "Items", "Sample", "converter", "failed"]

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, Protocol, TypeAlias

import numpy as np
from PIL import Image

from quant.calibration.sources.data import Array, BadSample, InputSpec
from quant.calibration.sources.decode import eight_bit
from quant.calibration.sources.input_converter import InputConverter, image_converter
from quant.common.errors import InputError, few
from quant.preprocess.image_to_tensor import Preprocess

Sample: TypeAlias = tuple[dict[str, Array], int | None]
Convert: TypeAlias = Callable[[Any, str], Sample]


class Indexed(Protocol):
    """All that is asked of a user's sequence."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> Any: ...


class Items:
    """A user's sequence as Data; an error inside it is reported with its name.

    Args:
        name: What the user gave: "module:function".
        items: The sequence.
        convert: From an item and its key to a sample.
    """

    def __init__(self, name: str, items: Indexed, convert: Convert) -> None:
        self.name = name
        self._items, self._convert = items, convert
        self._labels: dict[int, int | None] = {}
        self.labels: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def key(self, i: int) -> str:
        """Return "module:function[12]"."""
        return f"{self.name}[{i}]"

    def read(self, i: int) -> dict[str, Array]:
        """Ask for item `i`, and remember its label."""
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
    return InputError(f"{place}: the function failed with '{text}'. --debug shows where.")


def converter(inputs: Sequence[InputSpec], preprocess: Preprocess) -> Convert:
    """Return the function from a user's item and its key to a sample of these inputs."""
    intakes = {one.name: InputConverter(one, preprocess) for one in inputs}

    def value(one: Any, name: str, key: str) -> Array:
        if isinstance(one, Image.Image):
            return image_converter([intakes[name].spec], preprocess, key).image(eight_bit(one), key)
        try:
            array = np.asarray(one)
        except Exception as error:
            raise failed(key, error) from error
        return intakes[name].array(array, key)

    def convert(item: Any, key: str) -> Sample:
        label = None
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Integral):
            item, label = item[0], int(item[1])
        if not isinstance(item, Mapping) and len(intakes) == 1:
            item = {next(iter(intakes)): item}
        if not isinstance(item, Mapping) or set(item) != set(intakes):
            seen = few(map(str, item)) if isinstance(item, Mapping) else f"'{type(item).__name__}'"
            raise InputError(
                f"{key}: an item is a dict with a key for each input, saw {seen} and wanted "
                f"{few(intakes)}. Mend the names."
            )
        return {name: value(item[name], name, key) for name in intakes}, label

    return convert

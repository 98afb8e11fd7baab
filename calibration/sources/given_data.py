"""Data that a Python program hands over: arrays, a sequence, an iterable, or a function of these."""

__all__ = ["GivenData"]

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quant.calibration.sources.arrays import open_rows
from quant.calibration.sources.data import Array, Data, InputSpec, Labels
from quant.calibration.sources.items import array_of, class_numbers
from quant.calibration.sources.labels import read_labels
from quant.calibration.sources.sequences import is_sequence, open_items
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess

KINDS = "a path, an array, a dict of arrays by input name, a sequence or an iterable of samples"


@dataclass(frozen=True, slots=True, eq=False)
class GivenData:
    """Samples in memory, where a path would stand otherwise.

    Attributes:
        value: An array or tensor whose first axis counts the samples; a dict of such by input name;
            a pair of one of these and the classes; a sequence or an iterable of samples or of
            batches, a torch DataLoader among them; ONNX Runtime's CalibrationDataReader; or a
            function without arguments that returns one of these.
        classes: A class for each sample, or None for those that come with the samples.
        most: Samples to take of what can be read only once; None for all.
    """

    value: Any
    classes: Any = None
    most: int | None = None

    def __str__(self) -> str:
        """Return what stands for the data in messages, before they were opened."""
        return "data"

    def open(
        self, inputs: Sequence[InputSpec], preprocess: Preprocess, labels: Labels = None
    ) -> Data:
        """Return the samples, with the description of `run.json` as their name.

        Raises:
            InputError: They are of no known kind, or do not fit the model or the preprocessing.
        """
        if labels == "folders":
            raise InputError(
                "labels: 'folders' needs a folder of images, saw data in memory. Give the classes."
            )
        value = self.value() if _is_function(self.value) else self.value
        arrays, classes = _whole_arrays(value, [spec.name for spec in inputs])
        if self.classes is not None:
            classes = _classes(self.classes)
        if arrays is not None:
            rows = open_rows("arrays", arrays, classes, inputs, preprocess)
            if labels is not None and classes is None:
                keys = [rows.key(i) for i in range(len(rows))]
                rows = replace(rows, labels=read_labels(labels, keys, "arrays"))
                classes = np.asarray(rows.labels)
            return replace(rows, name=_of_arrays(arrays.values(), classes))
        stream = value if is_sequence(value) else _stream(value)
        items = open_items("samples", stream, inputs, preprocess, labels, most=self.most)
        if classes is not None:
            if len(classes) != len(items):
                raise InputError(
                    f"labels: every sample has one class, saw {len(classes)} for {len(items)} "
                    "samples. Give as many."
                )
            items.labels = classes.tolist()
        first = len(items) == self.most and not is_sequence(value)
        items.name = _of_samples(value, len(items), first)
        return items


def _is_function(value: object) -> bool:
    """Return whether a value is called for the samples, as a generator function is."""
    return callable(value) and not (
        hasattr(value, "__iter__") or is_sequence(value) or _reader(value)
    )


def _reader(value: object) -> Callable[[], Any] | None:
    """Return the method of an ONNX Runtime CalibrationDataReader that gives the next feeds."""
    method: Callable[[], Any] | None = getattr(value, "get_next", None)
    return method


def _stream(value: Any) -> Iterable[Any]:
    if (read := _reader(value)) is not None:
        return iter(read, None)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        return value
    raise InputError(f"data: it is {KINDS}, saw '{type(value).__name__}'. Give one of these.")


def _whole_arrays(
    value: Any, inputs: Sequence[str]
) -> tuple[dict[str, Array] | None, Array | None]:
    """Return the arrays whose first axis counts the samples, and the classes beside them, if any."""
    classes: Any = None
    if isinstance(value, tuple | list) and len(value) == 2 and _is_whole(value[0]):
        row = _row_of_classes(value[1])
        if row is not None:
            value, classes = value[0], row
    if not _is_whole(value):
        return None, None
    if not isinstance(value, Mapping):
        return {"": array_of(value)}, classes
    named = {str(name): array_of(array) for name, array in value.items()}
    if "labels" in named and "labels" not in inputs:
        classes = named.pop("labels")
    return named, classes


def _is_whole(value: Any) -> bool:
    """Return whether a value is an array or tensor, or a dict of such."""
    if isinstance(value, Mapping):
        return bool(value) and all(_is_whole(part) for part in value.values())
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _row_of_classes(value: Any) -> Array | None:
    classes = class_numbers(list(value) if isinstance(value, tuple) else value)
    return classes if classes is not None and classes.ndim == 1 else None


def _classes(labels: Any) -> Array:
    """Return the classes that stand in `labels`."""
    row = _row_of_classes(labels)
    if row is None:
        raise InputError(
            f"labels: for data in memory they are one whole number for each sample, or a CSV file, "
            f"saw '{type(labels).__name__}'. Give a list or an array of classes."
        )
    return row


def _of_arrays(arrays: Iterable[Array], classes: Array | None) -> str:
    """Return "arrays: 1 x float32[64,3,224,224] with classes"."""
    counted = Counter(f"{x.dtype}[{','.join(map(str, x.shape))}]" for x in arrays)
    listed = ", ".join(f"{count} x {text}" for text, count in counted.items())
    return f"arrays: {listed}{' with classes' if classes is not None else ''}"


def _of_samples(value: Any, count: int, first: bool) -> str:
    """Return "DataLoader: the first 512 samples", or what a list of arrays of one shape is."""
    if isinstance(value, list | tuple) and all(isinstance(x, np.ndarray) for x in value):
        text = _of_arrays(value, None)
        return text if text.count(" x ") == 1 else f"arrays: {len(value)} of several shapes"
    return f"{type(value).__name__}: {'the first ' if first else ''}{count} samples"

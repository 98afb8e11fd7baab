"""Arrays, one row a sample: .npy and .npz files, and what a Python program holds in memory."""

__all__ = ["Arrays", "Rows", "open_rows"]

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from quant.calibration.sources.data import SOURCES, Array, InputSpec, Labels
from quant.calibration.sources.input_converter import InputConverter, refuse_unused
from quant.calibration.sources.labels import read_labels
from quant.common.errors import InputError, few, reason_of
from quant.preprocess.image_to_tensor import Preprocess

UNREADABLE = (ValueError, EOFError, KeyError, RuntimeError, MemoryError, BadZipFile, zlib.error)
"""What numpy raises for a file that is broken, or that holds pickled objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Arrays of equally many rows, one for each input of the model.

    Attributes:
        name: The user's --data.
        stem: The file's name, the first part of every key.
        place: What messages call the rows: the path of the file.
        rows: An array and its converter by the input's name.
        labels: A class for each row, or None.
    """

    name: str
    stem: str
    place: str
    rows: dict[str, tuple[Array, InputConverter]]
    labels: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.rows.values()))[0])

    def key(self, i: int) -> str:
        """Return "file.npz[12]" for row 12."""
        return f"{self.stem}[{i}]"

    def read(self, i: int) -> dict[str, Array]:
        """Return row `i` of each array."""
        return {
            name: converter.array(np.asarray(array[i]), f"{self.place}[{i}]")
            for name, (array, converter) in self.rows.items()
        }

    def label(self, i: int) -> int | None:
        """Return the class, or None if there are no labels."""
        return self.labels[i] if self.labels is not None else None


@SOURCES.add("arrays")
class Arrays:
    """A .npy file, or a .npz file with an array for each input; uint8 images are preprocessed.

    The first axis counts the samples. uint8 arrays `[N, H, W]` and `[N, H, W, C]` are images and go
    through the preprocessing; others go to the model as they are. An array `labels` holds the classes.
    A .npy file is mapped, not loaded; a .npz file is loaded. `docs/data.md` has the contract.
    """

    @staticmethod
    def accepts(spec: str) -> bool:
        """Return whether it is called .npy or .npz."""
        return spec.lower().endswith((".npy", ".npz")) and not os.path.isdir(spec)

    @staticmethod
    def open(
        spec: str, inputs: Sequence[InputSpec], preprocess: Preprocess, labels: Labels
    ) -> Rows:
        """Return the rows; raises InputError if they do not fit the model's inputs."""
        arrays = _load(spec)
        own = arrays.pop("labels", None)
        rows = open_rows(spec, arrays, own if labels is None else None, inputs, preprocess)
        if labels is None:
            return rows
        if labels == "folders":
            raise InputError(f"--labels folders: needs a folder of images, saw '{spec}'. Drop it.")
        classes = read_labels(labels, [rows.key(i) for i in range(len(rows))], spec)
        return replace(rows, labels=classes)


def open_rows(
    place: str,
    arrays: Mapping[str, Array],
    classes: Array | None,
    inputs: Sequence[InputSpec],
    preprocess: Preprocess,
) -> Rows:
    """Return arrays of equally many rows as samples.

    Args:
        place: The path of their file, or what stands for it.
        arrays: By the input's name; the only one may have any name where the model has one input.
        classes: A whole number from 0 for each row; None where there are none.
        inputs: The inputs of the model.
        preprocess: How an image becomes a tensor.

    Raises:
        InputError: The arrays do not fit the inputs or one another.
    """
    chosen = _chosen(arrays, [spec.name for spec in inputs], place)
    counted = chosen if classes is None else chosen | {"labels": classes}
    if any(array.ndim == 0 for array in counted.values()):
        raise InputError(f"{place}: a single number has no rows. Save one row for each sample.")
    lengths = {name: len(array) for name, array in counted.items()}
    if len(set(lengths.values())) != 1:
        counts = ", ".join(f"'{name}' {n}" for name, n in sorted(lengths.items()))
        raise InputError(
            f"{place}: every array needs the same number of rows, saw {counts}. "
            f"Save one row for each sample."
        )
    if 0 in lengths.values():
        raise InputError(f"{place}: there are no rows. Save one row for each sample.")
    rows = Rows(
        name=place,
        stem=Path(place).name,
        place=place,
        rows={spec.name: (chosen[spec.name], InputConverter(spec, preprocess)) for spec in inputs},
        labels=_classes(classes, place) if classes is not None else None,
    )
    first = rows.read(0)
    images = any(
        converter.sees_image(np.asarray(array[0])) for array, converter in rows.rows.values()
    )
    refuse_unused(preprocess, first, images, rows.key(0))
    return rows


def _load(spec: str) -> dict[str, Array]:
    """Return the arrays by name; that of a .npy file is nameless."""
    try:
        with Path(spec).open("rb") as stream:  # by its own handle: numpy leaks that of a broken zip
            if stream.read(2) == b"PK":
                stream.seek(0)
                archive = np.load(stream, allow_pickle=False)
                return {name: archive[name] for name in archive.files}
        return {"": np.load(spec, mmap_mode="r", allow_pickle=False)}
    except OSError as error:
        raise InputError(f"{spec}: cannot be read: {reason_of(error)}. Mend the path.") from error
    except UNREADABLE as error:
        raise InputError(
            f"{spec}: is not a file of plain arrays that numpy reads. "
            f"Save numbers, not objects, with numpy.save or numpy.savez."
        ) from error


def _chosen(
    arrays: Mapping[str, Array], names_of_inputs: Sequence[str], spec: str
) -> dict[str, Array]:
    """Return an array for each input: by name, or the only one for the only input."""
    missing = [name for name in names_of_inputs if name not in arrays]
    if len(names_of_inputs) == len(arrays) == 1 and missing:
        return {names_of_inputs[0]: next(iter(arrays.values()))}
    if missing:
        names = [name for name in arrays if name]
        raise InputError(
            f"{spec}: every input of the model needs an array of its name, saw "
            f"{few(names) or 'one without a name'} and none for {few(missing)}. "
            f"Save them with numpy.savez(file, **{{'{names_of_inputs[0]}': ...}})."
        )
    return {name: arrays[name] for name in names_of_inputs}


def _classes(labels: Array, spec: str) -> tuple[int, ...]:
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise InputError(
            f"{spec}: 'labels' is one row of whole numbers from 0, saw {labels.dtype} with "
            f"{labels.ndim} axes. Save the index of each row's class."
        )
    return tuple(int(x) for x in labels)

"""Sequences and iterables of a user's Python as samples, opened in one way for every caller."""

__all__ = ["is_sequence", "open_items"]

from collections.abc import Sequence
from typing import Any

from quant.calibration.sources.data import InputSpec, Labels
from quant.calibration.sources.items import Items, batch_rows, converter
from quant.calibration.sources.labels import read_labels
from quant.calibration.sources.spilled import BatchRows, Spilled
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess


def is_sequence(value: object) -> bool:
    """Return whether a value can be read at any place, again and again."""
    return hasattr(value, "__getitem__") and hasattr(value, "__len__")


def open_items(
    name: str,
    value: Any,
    inputs: Sequence[InputSpec],
    preprocess: Preprocess,
    labels: Labels,
    *,
    most: int | None = None,
) -> Items:
    """Return the samples of a sequence, read when needed, or of an iterable, read once.

    A sequence of single samples is read from several threads, at any place. A list of batches is
    taken apart where it is; every other sequence of batches, and every iterable, is written to a
    temporary folder first.

    Args:
        name: What messages and keys call it.
        value: The sequence or the iterable.
        inputs: The inputs of the model.
        preprocess: How an image becomes a tensor.
        labels: CSV file with the keys of the samples, or None for the classes that come with them.
        most: Samples to take of an iterable; None for all.

    Raises:
        InputError: There is no sample, or one does not fit the model.
    """
    if labels == "folders":
        raise InputError(f"--labels folders: needs a folder of images, saw '{name}'. Drop it.")
    rows, convert = batch_rows(inputs), converter(inputs, preprocess)
    if is_sequence(value) and not _of_batches(name, value, rows):
        items = Items(name, value, convert)
    elif isinstance(value, list | tuple):
        items = Items(name, _taken_apart(name, value, rows), convert)
    else:
        spilled = Spilled(name, value, rows, convert, most)
        items = Items(name, spilled, lambda sample, _: sample)
    if not len(items):
        raise InputError(f"{name}: there is no sample. Give at least one.")
    if labels is not None:
        items.labels = read_labels(labels, [items.key(i) for i in range(len(items))], name)
    return items


def _of_batches(name: str, value: Any, rows: BatchRows) -> bool:
    """Return whether the first item of a sequence is a batch; a broken first item is none."""
    if not len(value):
        return False
    try:
        return rows(value[0], f"{name}[0]") is not None
    except InputError:
        raise
    except Exception:  # noqa: BLE001  the user's code: reading the sample reports it
        return False


def _taken_apart(name: str, value: Sequence[Any], rows: BatchRows) -> list[Any]:
    """Return the samples of a list of batches; they share the memory of the batches."""
    samples: list[Any] = []
    for item in value:
        parts = rows(item, f"{name}[{len(samples)}]")
        samples += [item] if parts is None else parts
    return samples

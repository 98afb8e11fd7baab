"""Write a choice of samples as a file that --data reads back."""

__all__ = ["SUFFIXES", "check_suffix", "write_chosen"]

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quant.calibration.sources.arrays import Rows
from quant.calibration.sources.data import Array, Data, printable
from quant.calibration.sources.image_files import ImageFiles
from quant.common.errors import InputError
from quant.common.files import atomic

SUFFIXES = (".txt", ".npz")


def check_suffix(data: Data, out: Path) -> None:
    """Refuse a file that cannot hold a choice of this data; before the long work.

    Raises:
        InputError: `out` is called neither .txt nor .npz, or is a list and the data no image files.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"--out {out}: a choice is a .txt list of image files or an .npz of arrays, saw "
            f"'{out.suffix}'. Call it {out.name.removesuffix(out.suffix)}"
            f"{'.txt' if isinstance(data, ImageFiles) else '.npz'}."
        )
    if out.suffix.lower() == ".txt" and not isinstance(data, ImageFiles):
        raise InputError(
            f"--out {out}: a list names image files, and --data {data.name} has none. "
            f"Give --out {out.with_suffix('.npz')}."
        )


def write_chosen(data: Data, indices: Sequence[int], out: Path) -> None:
    """Write samples in this order, with their labels if every one has one.

    A .txt holds paths relative to its own folder. An .npz holds the rows of an array file as they
    are there; of other data the input tensors as the model takes them, so that --preprocess and its
    flags do nothing to them any more.

    Raises:
        InputError: See `check_suffix`; or a file's name does not fit into a line; or the tensors
            differ in shape; or a sample cannot be read any more.
    """
    check_suffix(data, out)
    given_labels = [data.label(i) for i in indices]
    labels = [label for label in given_labels if label is not None]
    labels = labels if len(labels) == len(given_labels) else []
    if isinstance(data, ImageFiles) and out.suffix.lower() == ".txt":
        with atomic(out) as scratch:  # which makes the folder that paths are relative to
            lines = [_line(data.paths[i], out.parent) for i in indices]
            tails = [f"\t{label}" for label in labels] or [""] * len(lines)
            text = "".join(f"{a}{b}\n" for a, b in zip(lines, tails, strict=True))
            scratch.write_bytes(text.encode("utf-8", "surrogateescape"))
        return
    arrays = _arrays(data, indices)
    if labels:
        arrays["labels"] = np.array(labels, np.int64)
    with atomic(out) as scratch, scratch.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def _line(path: Path, folder: Path) -> str:
    """Return a path as a line that the list's reader reads as exactly this file."""
    if any(c in str(path) for c in "\n\r\0"):
        raise InputError(
            f"{printable(str(path))}: a list has a line for each file, and this name has a line break. "
            "Rename the file."
        )
    text = os.path.relpath(path, folder)
    if not (folder / text).is_file() or not os.path.samefile(folder / text, path):
        text = os.path.abspath(path)  # a link on the way: `..` leaves by another door
    text = text.replace(os.sep, "/")
    return text if text[0] in "./" or text[0].isalnum() else f"./{text}"


def _arrays(data: Data, indices: Sequence[int]) -> dict[str, Array]:
    if isinstance(data, Rows):
        rows = list(indices)
        return {name: np.asarray(array[rows]) for name, (array, _) in data.rows.items()}
    feeds = [data.read(i) for i in indices]
    shapes = {name: {x[name].shape for x in feeds} for name in feeds[0]}
    for name, sizes in shapes.items():
        if len(sizes) > 1:
            examples = ["x".join(map(str, s)) for s in sorted(sizes)[:2]]
            raise InputError(
                f"--data {data.name}: an .npz holds samples of one shape, saw {examples[0]} and {examples[1]} "
                f"for input '{name}'. Give --size WIDTHxHEIGHT."
            )
    return {name: np.stack([x[name] for x in feeds]) for name in feeds[0]}

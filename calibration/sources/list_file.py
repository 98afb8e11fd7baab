"""The images that a .txt file lists, one path a line, as samples."""

__all__ = ["ListFile"]

import os
import re
from collections.abc import Sequence
from pathlib import Path

from quant.calibration.sources.data import SOURCES, InputSpec, Labels, key_of, printable
from quant.calibration.sources.image_files import ImageFiles
from quant.calibration.sources.input_converter import image_converter
from quant.calibration.sources.labels import read_labels
from quant.common.errors import InputError, reason_of
from quant.preprocess.image_to_tensor import Preprocess


@SOURCES.add("list")
class ListFile:
    """A .txt file: one path a line, relative to the list's folder; ``#`` starts a comment line.

    A whole number after the path, behind a tab, a comma or spaces, is the image's label: on every
    line or on none. A path that ends in a space and digits is written with a label, or renamed.
    The order of the lines is kept.
    """

    @staticmethod
    def accepts(spec: str) -> bool:
        """Return whether it is called .txt."""
        return spec.lower().endswith(".txt") and not os.path.isdir(spec)

    @staticmethod
    def open(
        spec: str, inputs: Sequence[InputSpec], preprocess: Preprocess, labels: Labels
    ) -> ImageFiles:
        """Return the images of the list; raises InputError if it is empty or contradicts itself."""
        converter = image_converter(inputs, preprocess, f"--data {spec}")
        folder = Path(spec).parent
        rows: dict[str, tuple[Path, int | None]] = {}
        lines = _lines(spec)
        for number, line in lines:
            name, label = _columns(line, folder)
            key = key_of(os.path.normpath(name))
            if key in rows:
                raise InputError(
                    f"{spec}:{number}: '{printable(key)}' is listed twice. Remove one of the lines."
                )
            rows[key] = (folder / name, label)
        if not rows:
            raise InputError(f"{spec}: no path is listed. Write one path a line.")
        classes = [label for _, label in rows.values() if label is not None]
        if classes and len(classes) != len(rows):
            number = lines[[label for _, label in rows.values()].index(None)][0]
            raise InputError(
                f"{spec}:{number}: this line has no label, {len(classes)} of {len(rows)} have. "
                f"Give every line a label, or none."
            )
        own = tuple(classes) if classes else None
        return ImageFiles(
            name=spec,
            keys=tuple(rows),
            paths=tuple(path for path, _ in rows.values()),
            labels=read_labels(labels, list(rows), spec) if labels is not None else own,
            converter=converter,
        )


def _lines(spec: str) -> list[tuple[int, str]]:
    """Return the lines that are neither empty nor comments, with their numbers from 1."""
    try:
        text = Path(spec).read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise InputError(f"{spec}: cannot be read: {reason_of(error)}. Mend the path.") from error
    if "\0" in text:
        raise InputError(f"{spec}: a list is text, saw a zero byte. Give a list of paths.")
    lines = [(i, line.strip(" \t\r")) for i, line in enumerate(text.split("\n"), 1)]
    return [(i, line) for i, line in lines if line and not line.startswith("#")]


def _columns(line: str, folder: Path) -> tuple[str, int | None]:
    """Return the path and the label; a line that names a file as it stands has no label."""
    match = re.fullmatch(r"(.*?)(?:\s*[\t,]\s*|\s+)([0-9]{1,9})", line, re.ASCII)
    if match is None or (folder / line).is_file():
        return line, None
    return match[1], int(match[2])

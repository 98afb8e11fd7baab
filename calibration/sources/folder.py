"""The images below a folder as samples, sorted by path."""

__all__ = ["Folder", "image_files"]

import os
from collections.abc import Sequence
from pathlib import Path

from quant.calibration.sources.data import SOURCES, InputSpec, Labels, key_of
from quant.calibration.sources.decode import extensions
from quant.calibration.sources.image_files import ImageFiles
from quant.calibration.sources.input_converter import image_converter
from quant.calibration.sources.labels import read_labels
from quant.common.errors import InputError, reason_of
from quant.preprocess.image_to_tensor import Preprocess


@SOURCES.add("folder")
class Folder:
    """A folder of images, searched recursively; hidden files and folders are left out."""

    @staticmethod
    def accepts(spec: str) -> bool:
        """Return whether it is a folder."""
        return os.path.isdir(spec)

    @staticmethod
    def open(
        spec: str, inputs: Sequence[InputSpec], preprocess: Preprocess, labels: Labels
    ) -> ImageFiles:
        """Return the images below the folder; raises InputError if there is none."""
        converter = image_converter(inputs, preprocess, f"--data {spec}")
        files = image_files(Path(spec))
        if not files:
            raise InputError(
                f"--data {spec}: no image lies in this folder or below it. "
                f"Give a folder of files that Pillow reads, such as .jpg or .png."
            )
        classes = read_labels(labels, list(files), spec)
        return ImageFiles(
            name=spec,
            keys=tuple(files),
            paths=tuple(files.values()),
            labels=classes,
            converter=converter,
        )


def image_files(folder: Path) -> dict[str, Path]:
    """Return the images below `folder` by key, sorted by key.

    Links are followed; each real folder is visited once, by its own path rather than a link's, so
    loops end.

    Raises:
        InputError: A folder cannot be listed.
    """
    files: dict[str, Path] = {}
    visited: set[str] = set()
    folders, links = [folder], list[Path]()
    while folders or links:
        here = folders.pop() if folders else links.pop(0)
        real = os.path.realpath(here)
        if real in visited:
            continue
        visited.add(real)
        try:
            entries = sorted(here.iterdir(), key=lambda path: path.name)
        except OSError as error:
            raise InputError(
                f"--data {folder}: '{here}' cannot be listed: {reason_of(error)}. "
                f"Change its permissions, or move it away."
            ) from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                (links if entry.is_symlink() else folders).append(entry)
            elif entry.suffix.lower() in extensions() and entry.is_file():
                files[key_of(str(entry.relative_to(folder)))] = entry
    return dict(sorted(files.items()))

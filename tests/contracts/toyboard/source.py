"""Reel: the pictures of a folder, last one first, with the digits of labels.csv as classes."""

__all__ = ["Reel"]

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from quant.calibration import SOURCES, BadSample, InputSpec, Labels
from quant.calibration.sources.input_converter import InputConverter, image_converter
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess


@dataclass(frozen=True)
class _Pictures:
    name: str
    paths: tuple[Path, ...]
    classes: dict[str, int]
    converter: InputConverter

    def __len__(self) -> int:
        return len(self.paths)

    def key(self, i: int) -> str:
        return self.paths[i].stem

    def read(self, i: int) -> dict[str, NDArray[Any]]:
        try:
            picture = Image.open(self.paths[i])
        except OSError as error:
            raise BadSample("unreadable") from error
        return {self.converter.spec.name: self.converter.image(picture, self.key(i))}

    def label(self, i: int) -> int | None:
        return self.classes.get(self.paths[i].name)


@SOURCES.add("reel")
class Reel:
    """reel://FOLDER: the pictures of a folder, backwards, with the classes of its labels.csv."""

    @staticmethod
    def accepts(spec: str) -> bool:
        """Return whether it begins with reel://."""
        return spec.startswith("reel://")

    @staticmethod
    def open(
        spec: str, inputs: Sequence[InputSpec], preprocess: Preprocess, labels: Labels
    ) -> _Pictures:
        """Return the pictures; raises InputError where the folder has none."""
        folder = Path(spec.removeprefix("reel://"))
        paths = tuple(sorted(folder.glob("*.png"), reverse=True))
        if not paths:
            raise InputError(f"--data {spec}: no picture lies there. Name another folder.")
        rows = (folder / "labels.csv").read_text().splitlines()[1:]
        classes = {name: int(label) for name, label in (row.split(",") for row in rows)}
        return _Pictures(spec, paths, classes, image_converter(inputs, preprocess, spec))

"""Image files as samples: what a folder and a list file open."""

__all__ = ["ImageFiles"]

from dataclasses import dataclass
from pathlib import Path

from quant.calibration.sources.data import Array
from quant.calibration.sources.decode import open_image
from quant.calibration.sources.input_converter import InputConverter


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFiles:
    """Image files that feed the model's only input; each is decoded when it is read.

    Attributes:
        name: The user's --data.
        keys: Paths relative to the folder, with POSIX slashes.
        paths: Where the files are, one for each key.
        labels: A class for each key, or None.
        converter: The converter of the model's only input.
    """

    name: str
    keys: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: tuple[int, ...] | None
    converter: InputConverter

    def __len__(self) -> int:
        return len(self.keys)

    def key(self, i: int) -> str:
        """Return the relative path."""
        return self.keys[i]

    def read(self, i: int) -> dict[str, Array]:
        """Decode and preprocess one file; raises BadSample if it is broken."""
        tensor = self.converter.image(open_image(self.paths[i]), self.keys[i])
        return {self.converter.spec.name: tensor}

    def label(self, i: int) -> int | None:
        """Return the class, or None if there are no labels."""
        return self.labels[i] if self.labels is not None else None

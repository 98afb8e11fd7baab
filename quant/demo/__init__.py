"""A small trained network and 500 labelled images that ship with the package, for `quant demo`.

The images are the last 500 of scikit-learn's copy of the test set of "Optical Recognition of
Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998,
doi:10.24432/C50P49), licence CC BY 4.0, stored as PNG of 8 x 8 pixels. The network was trained on
the other 1297 and never saw them. `python -m quant.demo.train` makes all three files again.
"""

__all__ = ["DemoFiles", "unpack"]

import zipfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from quant.common.files import atomic


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFiles:
    """Paths of the demo's files; each is a value of the option of the same name.

    Attributes:
        model: ONNX, opset 17; float32 `image` `[N, 3, 32, 32]` to `logits` `[N, 10]`.
        images: Folder of 500 grey PNG files of 8 x 8 pixels, and `labels.csv`.
        labels: CSV with the columns `file` (relative to `images`) and `label` (0 to 9).
        preprocess: TOML file; how training turned an image into the model's input.
    """

    model: Path
    images: Path
    labels: Path
    preprocess: Path


def unpack(folder: Path) -> DemoFiles:
    """Write the demo's files below `folder` and return their paths.

    Every file is written whole or not at all, and a file that already has the right bytes is left
    alone, so a second call finishes what an interrupted one began and otherwise changes nothing.

    Raises:
        InputError: The folder cannot be made or written to.
    """
    package = files("quant.demo")
    for name in ("digits.onnx", "preprocess.toml"):
        _write(folder, {name: (package / name).read_bytes()})
    with (package / "digits.zip").open("rb") as file, zipfile.ZipFile(file) as archive:
        _write(folder / "images", {name: archive.read(name) for name in archive.namelist()})
    return DemoFiles(
        model=folder / "digits.onnx",
        images=folder / "images",
        labels=folder / "images" / "labels.csv",
        preprocess=folder / "preprocess.toml",
    )


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    """Write the files that do not have their bytes yet, all at once."""
    stale = [name for name, content in contents.items() if not _holds(folder / name, content)]
    if stale:
        with atomic(folder / stale[-1]) as scratch:
            for name in stale:
                (scratch.parent / name).write_bytes(contents[name])


def _holds(path: Path, content: bytes) -> bool:
    """Return whether a file exists and has these bytes."""
    return path.is_file() and path.read_bytes() == content

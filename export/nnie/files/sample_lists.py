"""Write the calibration samples for the mapper: pictures and their list, or lines of floats."""

__all__ = ["Lists", "write_lists"]

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quant.common.errors import InputError
from quant.export.nnie.files.feeds import MAX_SAMPLES, Feed, pixels_of
from quant.target.deployment import Deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The calibration samples that were written.

    Attributes:
        names: The list file of each feed, in their order.
        pictures: Paths of the pictures, relative to the folder.
        keys: Keys of the samples, in the order of the lists. The last sample is the one to compare.
    """

    names: tuple[str, ...]
    pictures: tuple[str, ...]
    keys: tuple[str, ...]


def write_lists(
    folder: Path, feeds: Sequence[Feed], deployment: Deployment, planar: AbstractSet[str]
) -> Lists:
    """Write up to 50 samples for every feed; line i of each list belongs to sample i.

    A picture is a PNG of the network's size with exactly the pixels of the calibration sample, in a
    folder `images`; names are ASCII and numbered. A float tensor is one line of C * H * W numbers,
    also for an input in `planar`, which is `[H, W, C]` in the model.

    Raises:
        InputError: A float tensor holds a number that is not finite.
    """
    suffixes = [f"_{i}" if len(feeds) > 1 else "" for i in range(1, len(feeds) + 1)]
    names = [f"{_stem(feed)}{suffix}.txt" for feed, suffix in zip(feeds, suffixes, strict=True)]
    keys: list[str] = []
    pictures: list[str] = []
    with ExitStack() as stack:
        files = [
            stack.enter_context((folder / name).open("w", encoding="ascii", newline="\n"))
            for name in names
        ]
        for key, arrays in _samples(deployment):
            keys.append(key)
            for feed, suffix, file in zip(feeds, suffixes, files, strict=True):
                array = arrays[feed.input]
                if feed.picture:
                    place = f"images{suffix}/{len(keys):04}.png"
                    (folder / place).parent.mkdir(exist_ok=True)
                    _picture(array, deployment).save(folder / place, "PNG", compress_level=6)
                    pictures.append(place)
                    file.write(f"./{place}\n")
                else:
                    ordered = array.transpose(2, 0, 1) if feed.input in planar else array
                    file.write(f"{_numbers(ordered, key, feed.input)}\n")
    return Lists(names=tuple(names), pictures=tuple(pictures), keys=tuple(keys))


def _stem(feed: Feed) -> str:
    return "image_list" if feed.picture else "tensor_list"


def _samples(deployment: Deployment) -> Any:
    return deployment.samples(MAX_SAMPLES) if deployment.samples is not None else ()


def _picture(array: NDArray[Any], deployment: Deployment) -> Image.Image:
    """Return the pixels behind a tensor as an "RGB" or "L" image."""
    pixels = pixels_of(array, deployment)
    assert pixels is not None  # choose_feeds looked at the same samples
    assert deployment.preprocess is not None
    if len(pixels) == 1:
        return Image.fromarray(pixels[0])
    planes = pixels[::-1] if deployment.preprocess.channels == "BGR" else pixels
    return Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))


def _numbers(array: NDArray[Any], key: str, name: str) -> str:
    """Return a tensor as one line; 9 digits read back to the same float32."""
    if not np.all(np.isfinite(array)):
        raise InputError(
            f"sample '{key}', input '{name}': the mapper takes finite numbers, saw "
            f"{int(np.count_nonzero(~np.isfinite(array)))} others of {array.size}. Mend the data."
        )
    return " ".join(f"{x:.9g}" for x in np.asarray(array, np.float32).ravel().tolist())

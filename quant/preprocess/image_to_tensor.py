"""How an image becomes the tensor that a model takes, as data that every stage shares."""

__all__ = ["Preprocess"]

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quant.common.errors import InputError
from quant.common.parse import flag_values, read_toml, width_by_height
from quant.preprocess.resize import F32, RESAMPLE, ResizeRule, normalized, resized
from quant.preprocess.validation import broken_rule, floats, unit_warnings


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """What is done to an image: resize, crop, order the channels, subtract `mean`, divide by `std`.

    ``tensor = (pixel - mean) / std`` with pixels in 0..255; in double precision, rounded once.

    Attributes:
        size: (width, height) of the tensor, written WIDTHxHEIGHT; None keeps that of each image.
        resize: "shorter" scales an image until it covers the box below; "stretch" gives up its
            aspect ratio; "letterbox" fits all of it into `size` and fills the rest with `pad`.
        crop: "center" cuts out the middle; "none" keeps all, so "shorter" leaves one side longer.
        short_side: The shorter side, in pixels, of the box before the crop; the box has the aspect
            ratio of `size`. None is 256/224 of the shorter side of `size`, rounded, for "shorter"
            with a crop (256 for 224, as ImageNet models are measured), else that side itself.
        channels: Order of the tensor's channels: "RGB", "BGR" or "GRAY" (ITU-R 601-2 luma).
        layout: "NCHW" makes `[C, H, W]`, "NHWC" makes `[H, W, C]`.
        mean: In 0..255 units, one value or one for each channel, in the order of `channels`.
        std: As `mean`, and greater than 0.
        pad: Pixel value of the letterbox bars, 0 to 255, before `mean`. 114: Ultralytics YOLOv5.
        interpolation: "bilinear", "bicubic" or "nearest"; Pillow's, which smooth as they shrink.

    Raises:
        InputError: A field breaks one of these rules.

    >>> Preprocess(mean=(127,), std=(128,)).apply(Image.new("RGB", (1, 1), (255, 127, 63)))[:, 0, 0]
    array([ 1. ,  0. , -0.5], dtype=float32)
    """

    size: tuple[int, int] | None = None
    resize: str = "shorter"
    crop: str = "center"
    short_side: int | None = None
    channels: str = "RGB"
    layout: str = "NCHW"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    pad: int = 114
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, floats(getattr(self, name)))
        object.__setattr__(self, "size", tuple(s) if isinstance(s := self.size, list) else s)
        if broken := broken_rule(asdict(self)):
            raise InputError(f"Preprocess.{broken[0]}: {broken[1]}")

    @classmethod
    def from_flags(cls, base: Self | None = None, **flags: str | int | None) -> Self:
        """Return `base` (default: all defaults) with the `flags` that are not None in its place.

        They are the fields as text: ``size="320x240", mean="104,117,123", channels="BGR"``.

        Raises:
            InputError: A flag cannot be read, or breaks a rule; the sentence names the flag.
        """
        values: dict[str, Any] = flag_values(flags)
        try:
            return replace(base or cls(), **values)
        except InputError as error:
            name, _, sentence = str(error).removeprefix("Preprocess.").partition(":")
            raise InputError(f"--{name.replace('_', '-')}:{sentence}") from None

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Read a TOML file of `to_toml` or of a person; `size` may be "WIDTHxHEIGHT" as well.

        Raises InputError if the file cannot be read, has an unknown key, or breaks a rule.
        """
        table: dict[str, Any] = read_toml(path, [f.name for f in fields(cls)])
        if isinstance(table.get("size"), str):
            table["size"] = width_by_height(table["size"], f"{path}: size")
        try:
            return cls(**table)
        except InputError as error:
            raise InputError(f"{path}: {str(error).removeprefix('Preprocess.')}") from None

    def to_toml(self) -> str:
        """Return a TOML file; `from_toml` reads exactly this Preprocess from it."""
        pairs = [(k, v) for k, v in asdict(self).items() if v is not None]
        return "".join(f"{k} = {json.dumps(v)}\n" for k, v in pairs)

    def describe(self) -> dict[str, object]:
        """Return every field as JSON values, with `short_side`, `mean` and `std` spelt out."""
        count = 1 if self.channels == "GRAY" else 3
        return asdict(self) | {
            "size": list(self.size) if self.size else None,
            "short_side": self.resized_side,
            "mean": [*self.mean] * (count // len(self.mean)),
            "std": [*self.std] * (count // len(self.std)),
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 over `describe()`, 64 hex digits: equal for two spellings of one thing."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()

    @property
    def resized_side(self) -> int | None:
        """The `short_side` in force, its default worked out; None without a size."""
        if self.size is None or self.short_side is not None:
            return self.short_side
        margin = (self.resize, self.crop) == ("shorter", "center")
        return round(min(self.size) * 256 / 224) if margin else min(self.size)

    @property
    def tensor_shape(self) -> tuple[int | None, int | None, int | None]:
        """Shape of what `apply` returns, None where it depends on the image."""
        width, height = self.size or (None, None)
        if self.crop == "none" and (self.resize == "shorter" or self.short_side is not None):
            width = height = None
        count = 1 if self.channels == "GRAY" else 3
        return (count, height, width) if self.layout == "NCHW" else (height, width, count)

    def warnings(self) -> list[str]:
        """Return sentences about what looks like a slip: mean and std in 0..1 units."""
        return unit_warnings(self.mean, self.std)

    def could_give(self, tensor: NDArray[Any]) -> bool:
        """Return whether `apply` makes such a tensor, without batch axis, of some 8-bit pixels."""
        count = 1 if self.channels == "GRAY" else 3
        axis = 0 if self.layout == "NCHW" else 2
        if tensor.ndim != 3 or tensor.dtype != np.float32 or tensor.shape[axis] != count:
            return False
        shape = [count if i == axis else 1 for i in range(3)]
        mean, std = (
            np.broadcast_to(np.array(values, np.float64), (count,)).reshape(shape)
            for values in (self.mean, self.std)
        )
        pixels = np.rint(tensor * std + mean)
        inside = pixels.min(initial=0) >= 0 and pixels.max(initial=0) <= 255
        return bool(inside and np.array_equal(((pixels - mean) / std).astype(np.float32), tensor))

    def apply(self, image: Image.Image) -> F32:
        """Return the tensor of one image, float32 `[C, H, W]` (NCHW) or `[H, W, C]` (NHWC).

        Raises ValueError for an empty image, or one so long that resizing it takes gigabytes.
        """
        image = image.convert("L" if self.channels == "GRAY" else "RGB")
        if 0 in image.size:
            raise ValueError("the image has no pixels")
        fits = image.size == self.size and self.short_side is None  # nothing was asked but its size
        if self.size and self.resized_side and not fits:
            rule = ResizeRule(
                resize=self.resize,
                crop=self.crop,
                short_side=self.resized_side,
                pad=self.pad,
                resample=RESAMPLE[self.interpolation],
            )
            image = resized(image, self.size, rule)
        tensor = normalized(image, self.mean, self.std, reverse=self.channels == "BGR")
        return tensor if self.layout == "NCHW" else np.ascontiguousarray(tensor.transpose(1, 2, 0))

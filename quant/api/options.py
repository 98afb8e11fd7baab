"""Keyword arguments that several functions of the API share, as types for editors and mypy."""

__all__ = ["ImageOptions", "Labels", "ModelLike", "PathLike", "unknown_keyword"]

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike as OsPath
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Union

if TYPE_CHECKING:
    import onnx
    import torch

PathLike: TypeAlias = str | OsPath[str]
ModelLike: TypeAlias = Union[PathLike, "onnx.ModelProto", "torch.nn.Module"]
"""A path, "module:factory", or a model in memory."""
Labels: TypeAlias = PathLike | Sequence[int] | Any | None
"""A CSV file, "folders", or a class for each sample: a list, an array or a tensor of whole numbers."""


class ImageOptions(TypedDict, total=False):
    """From an image to the model's input; the fields of `quant.Preprocess`, as values or as text.

    Attributes:
        size: (width, height) of the input, or "224x224".
        resize: "shorter", "stretch" or "letterbox".
        crop: "center" or "none".
        short_side: Shorter side before the crop, in pixels.
        channels: "RGB", "BGR" or "GRAY".
        layout: "NCHW" or "NHWC".
        mean: One number, or one for each channel, in units of 0 to 255.
        std: As `mean`.
        pad: Fill of letterbox, 0 to 255.
        interpolation: "bilinear", "bicubic" or "nearest".
    """

    size: tuple[int, int] | str
    resize: str
    crop: str
    short_side: int
    channels: str
    layout: str
    mean: float | Sequence[float] | str
    std: float | Sequence[float] | str
    pad: int
    interpolation: str


def unknown_keyword(function: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise TypeError for a keyword that is no option of images, with the near name.

    Args:
        function: Name of the function that was called.
        given: Its keywords that are not in its signature.
        known: The keywords of its signature.
    """
    from difflib import get_close_matches  # here, so that `import quant` stays quick

    fields = ImageOptions.__annotations__
    for name in given:
        if name not in fields:
            near = get_close_matches(name, [*known, *fields], n=1)
            hint = f". Did you mean '{near[0]}'?" if near else ""
            raise TypeError(f"{function}() got an unexpected keyword argument '{name}'{hint}")

"""The options that describe how an image becomes the input of a model."""

__all__ = ["preprocess_of", "preprocess_options"]

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from quant.cli.command import added, option
from quant.cli.values import FILE, OneOf

if TYPE_CHECKING:
    from quant.preprocess.image_to_tensor import Preprocess

FLAGS: tuple[str, ...] = (
    *("size", "resize", "crop", "short_side", "channels", "layout"),
    *("mean", "std", "pad", "interpolation"),
)
"""The options that describe how an image becomes the input."""

_PREPROCESS = [
    option(
        "--preprocess",
        section="Preprocessing",
        type=FILE,
        metavar="FILE",
        help="TOML file with these settings; an option given here overrides it.",
    ),
    option(
        "--size",
        section="Preprocessing",
        metavar="WxH",
        default_text="each image's own",
        help="Width and height of the model's input in pixels, such as 224x224.",
    ),
    option(
        "--resize",
        section="Preprocessing",
        type=OneOf("shorter", "stretch", "letterbox"),
        default_text="shorter",
        help="Scale the shorter side and crop; or give up the aspect ratio; or fit all of the "
        "image and pad.",
    ),
    option(
        "--crop",
        section="Preprocessing",
        type=OneOf("center", "none"),
        default_text="center",
        help="What is cut out after --resize shorter.",
    ),
    option(
        "--short-side",
        section="Preprocessing",
        metavar="N",
        default_text="256/224 of the shorter side of --size",
        help="Pixels of the shorter side before the crop.",
    ),
    option(
        "--channels",
        section="Preprocessing",
        type=OneOf("RGB", "BGR", "GRAY"),
        default_text="RGB",
        help="Channels of the input, in this order.",
    ),
    option(
        "--layout",
        section="Preprocessing",
        type=OneOf("NCHW", "NHWC"),
        default_text="NCHW",
        help="Axes of the input: channels first or last.",
    ),
    option(
        "--mean",
        section="Preprocessing",
        metavar="M[,M,M]",
        default_text="0",
        help="Value subtracted from each pixel, 0 to 255; one, or one for each channel.",
    ),
    option(
        "--std",
        section="Preprocessing",
        metavar="S[,S,S]",
        default_text="1",
        help="Value each pixel is then divided by, 0 to 255; one, or one for each channel.",
    ),
    option(
        "--pad",
        section="Preprocessing",
        metavar="V",
        default_text="114",
        help="Pixel value of the bars of --resize letterbox, 0 to 255.",
    ),
    option(
        "--interpolation",
        section="Preprocessing",
        type=OneOf("bilinear", "bicubic", "nearest"),
        default_text="bilinear",
        help="How pixels are interpolated.",
    ),
]


def preprocess_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe how an image becomes the input."""
    return added(command, _PREPROCESS)


def preprocess_of(options: dict[str, Any]) -> "Preprocess":
    """Take the preprocessing out of a command's options."""
    from quant.preprocess.image_to_tensor import Preprocess

    path = options.pop("preprocess", None)
    base = Preprocess.from_toml(path) if path is not None else None
    return Preprocess.from_flags(base, **{name: options.pop(name, None) for name in FLAGS})

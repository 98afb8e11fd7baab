"""The shared options of the command line, each spelt once, and what turns them into values."""

__all__ = [
    "chip_options",
    "data_options",
    "job_of",
    "model_option",
    "preprocess_of",
    "preprocess_options",
    "target_option",
]

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from quant.job import Job
    from quant.preprocess import Preprocess

Command = Callable[..., Any]

model_option = click.option(
    "--model", required=True, metavar="M", help="ONNX file, or module:factory of a torch module."
)
target_option = click.option(
    "--target",
    "targets",
    multiple=True,
    default=("onnxruntime",),
    show_default=True,
    metavar="NAME",
    help="Repeat for several; `quant list targets` names them.",
)

FLAGS: tuple[str, ...] = (
    *("size", "resize", "crop", "short_side", "channels", "layout"),
    *("mean", "std", "pad", "interpolation"),
)

_PREPROCESS = [
    click.option(
        "--preprocess", type=click.Path(path_type=Path), help="TOML file; flags go first."
    ),
    click.option("--size", metavar="WxH", help="Input size in pixels, as 224x224."),
    click.option("--resize", metavar="HOW", help="shorter, stretch or letterbox."),
    click.option("--crop", metavar="HOW", help="center or none."),
    click.option(
        "--short-side", metavar="N", help="Shorter side before the crop; 256/224 of size."
    ),
    click.option("--mean", metavar="M[,M,M]", help="Subtracted, in units of 0 to 255."),
    click.option("--std", metavar="S[,S,S]", help="Divided by, in units of 0 to 255."),
    click.option("--channels", metavar="ORDER", help="RGB, BGR or GRAY."),
    click.option("--layout", metavar="AXES", help="NCHW or NHWC."),
    click.option("--pad", metavar="V", help="Fill of letterbox, 0 to 255."),
    click.option("--interpolation", metavar="HOW", help="bilinear, bicubic or nearest."),
]

_DATA = [
    click.option(
        "--data",
        required=True,
        metavar="D",
        help="Folder, .txt list, .npy/.npz, or module:function.",
    ),
    click.option("--samples", type=int, default=256, show_default=True, help="For calibration."),
    click.option(
        "--seed", type=int, default=0, show_default=True, help="Of the choice of samples."
    ),
    click.option(
        "--max-bad", type=float, default=0.05, show_default=True, help="Share of broken files."
    ),
    click.option("--threads", type=int, default=0, help="In one operator; 0 for all cores."),
]


_CHIP = [
    click.option(
        "--trt-version",
        default="10",
        show_default=True,
        metavar="V",
        help="TensorRT 8, 10 or 11, or in full: 8.6.1.",
    ),
    click.option(
        "--soc-version",
        default="Ascend310",
        show_default=True,
        metavar="SOC",
        help="Atlas: Ascend310, Ascend310P3, Ascend310B1, ...",
    ),
    click.option(
        "--nnie-version",
        type=click.Choice(["1.1", "1.2"]),
        default="1.2",
        show_default=True,
        help="1.1: Hi3559AV100; 1.2: Hi3519AV100, Hi3516CV500, Hi3516DV300.",
    ),
    click.option(
        "--allow-fallback",
        is_flag=True,
        help="Layers a chip cannot take stay float, or are cut to the CPU (NNIE).",
    ),
]


def chip_options(command: Command) -> Command:
    """Add what says which chip and version the files are for."""
    for option in reversed(_CHIP):
        command = option(command)
    return command


def preprocess_options(command: Command) -> Command:
    """Add the flags that say how an image becomes the input."""
    for option in reversed(_PREPROCESS):
        command = option(command)
    return command


def data_options(command: Command) -> Command:
    """Add --data and all that says how it is read."""
    for option in reversed([*_DATA, *_PREPROCESS]):
        command = option(command)
    return command


def preprocess_of(options: dict[str, Any]) -> "Preprocess":
    """Take the preprocessing out of a command's options."""
    from quant.preprocess import Preprocess

    path = options.pop("preprocess", None)
    base = Preprocess.from_toml(path) if path is not None else None
    return Preprocess.from_flags(base, **{name: options.pop(name, None) for name in FLAGS})


def job_of(options: dict[str, Any]) -> "Job":
    """Make a job of a command's options; the output folder defaults to quant-out/<model>."""
    from quant.job import Job

    preprocess = preprocess_of(options)
    out = options.pop("out", None)
    if out is None:
        out = Path("quant-out") / (Path(options["model"].rsplit(":", 1)[-1]).stem or "model")
    return Job(preprocess=preprocess, out=Path(out), **options)

"""The options that several commands share, each spelt once, and what turns them into values."""

__all__ = [
    "budget_options",
    "chip_options",
    "data_options",
    "job_of",
    "json_option",
    "main_options",
    "model_option",
    "observer_option",
    "preprocess_of",
    "preprocess_options",
    "quiet_option",
    "recipe_option",
    "search_options",
    "target_option",
    "threads_option",
]

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from quant.cli.command import option
from quant.cli.parts import (
    EFFORTS,
    device_names,
    metric_name,
    metric_names,
    observer_name,
    observer_names,
    precision_names,
    runtime_name,
    runtime_names,
    target_name,
    target_names,
)
from quant.cli.values import FILE, TEXT, CompletedText, FromTable, OneOf, Share

if TYPE_CHECKING:
    from quant.job.settings import Job
    from quant.preprocess.image_to_tensor import Preprocess

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

TARGET = FromTable("target", target_name, target_names)
OBSERVER = FromTable("observer", observer_name, observer_names)
RUNTIME = FromTable("runtime", runtime_name, runtime_names)
METRIC = FromTable("metric", metric_name, metric_names)
SENSITIVITY = FromTable("sensitivity", metric_name, metric_names, more=("nmse", "kl"))


class _Device(CompletedText):
    """The name of a chip, or a .toml file; which names there are, the target says."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the devices of the targets given so far, and paths."""
        given = ctx.params.get("targets") or ctx.params.get("target") or ()
        names = device_names((given,) if isinstance(given, str) else given)
        found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
        return found or super().shell_complete(ctx, param, incomplete)


class _Precisions(CompletedText):
    """Names of precisions, separated by commas."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the last name."""
        head, comma, last = incomplete.rpartition(",")
        names = [f"{head}{comma}{name}" for name in precision_names() if name.startswith(last)]
        return [CompletionItem(name) for name in names]


DEVICE, PRECISIONS = _Device(), _Precisions()

model_option = option(
    "--model",
    section="Input",
    type=TEXT,
    required=True,
    metavar="MODEL",
    help="ONNX file of the float model, or module:factory for a torch module.",
)
target_option = option(
    "--target",
    "targets",
    section="Targets",
    type=TARGET,
    multiple=True,
    default=("onnxruntime",),
    metavar="NAME",
    help="Runtime or chip to quantize for; repeat for several: {names}.",
)
observer_option = option(
    "--observer",
    section="Accuracy",
    type=OBSERVER,
    metavar="NAME",
    default_text="the one that measures best",
    help="How the ranges of activations are chosen: {names}.",
)
recipe_option = option(
    "--recipe",
    section="Accuracy",
    type=FILE,
    metavar="FILE",
    help="TOML file with rules for layers: precision, observer, ...",
)
threads_option = option(
    "--threads",
    section="Input",
    type=int,
    default=0,
    metavar="N",
    default_text="0, all cores",
    help="Threads that compute one operator.",
)
quiet_option = option(
    "--quiet",
    section="Output",
    is_flag=True,
    help="Show no progress, only results and warnings.",
)
json_option = option(
    "--json",
    "as_json",
    section="Output",
    is_flag=True,
    help="Print one JSON object in place of text.",
)

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

_DATA = [
    option(
        "--data",
        section="Input",
        type=TEXT,
        required=True,
        metavar="DATA",
        help="Folder of images, .txt list of paths, .npy or .npz arrays, or module:function: "
        "docs/data.md.",
    ),
    option(
        "--samples",
        section="Input",
        type=int,
        default=256,
        metavar="N",
        help="Number of samples to calibrate on.",
    ),
    option(
        "--seed",
        section="Input",
        type=int,
        default=0,
        metavar="N",
        help="Seed of the random choice of samples.",
    ),
    option(
        "--max-bad",
        section="Input",
        type=Share(),
        default=0.05,
        metavar="SHARE",
        default_text="5%",
        help="Largest share of files that may be unreadable, as 5% or 0.05.",
    ),
    threads_option,
]

_CHIP = [
    option(
        "--allow-fallback",
        section="Targets",
        is_flag=True,
        help="Leave layers that a chip cannot take in float, or on its CPU (NNIE).",
    ),
]

budget_options = [
    option(
        "--max-drop",
        section="Search",
        type=Share(),
        metavar="SHARE",
        help="Largest drop of the metric against float, as 1% or 0.01 for one point.",
    ),
    option(
        "--min-sqnr",
        section="Search",
        type=float,
        metavar="DB",
        help="Least signal-to-quantization-noise ratio of the worst output, in dB.",
    ),
]

_SEARCH = [
    *budget_options,
    option(
        "--budget",
        "budgets",
        section="Search",
        multiple=True,
        metavar="AXIS=MOST",
        help="Most that the plan may cost: latency=2ms, size=3MB, ops=1.2G, or a share of the most "
        "exact plan, as size=60%. Repeat for several.",
    ),
    option(
        "--cost",
        section="Search",
        type=OneOf("latency", "size", "ops"),
        default_text="that of --budget, or latency",
        help="Cost that the Pareto front weighs against the error.",
    ),
    option(
        "--precisions",
        section="Search",
        type=PRECISIONS,
        metavar="P,P",
        default_text="the target's",
        help="Precisions to choose among, cheapest first, as int8,float16.",
    ),
    option(
        "--sensitivity",
        section="Search",
        type=SENSITIVITY,
        default="nmse",
        metavar="NAME",
        help="How the harm of a layer alone is measured: nmse, kl (classifiers), or a metric.",
    ),
    option(
        "--search-samples",
        section="Search",
        type=int,
        default=64,
        metavar="N",
        help="Number of samples that sensitivities are measured on.",
    ),
    option(
        "--groups",
        section="Search",
        type=int,
        default=0,
        metavar="N",
        default_text="0, no limit",
        help="Largest number of groups of layers that choose a precision together.",
    ),
    option(
        "--time-budget",
        section="Search",
        type=float,
        metavar="SECONDS",
        default_text="none",
        help="Seconds after which the search stops and takes the best plan so far.",
    ),
    option(
        "--device",
        section="Search",
        type=DEVICE,
        metavar="NAME",
        default_text="the target's first",
        help="Chip whose peak rates predict times; `quant list devices` names them. Or a .toml "
        "file of yours.",
    ),
    option(
        "--latency",
        section="Search",
        type=TEXT,
        metavar="CSV",
        help="Measured times of layers: layer,precision,milliseconds.",
    ),
]


def _added(command: Command, options: list[Decorator]) -> Command:
    for one in reversed(options):
        command = one(command)
    return command


def chip_options(command: Command) -> Command:
    """Add what becomes of layers that a chip cannot take; the versions come with `TargetCommand`."""
    return _added(command, _CHIP)


def preprocess_options(command: Command) -> Command:
    """Add the options that say how an image becomes the input."""
    return _added(command, _PREPROCESS)


def search_options(command: Command) -> Command:
    """Add what says how accurate or how cheap a mixed plan must be."""
    return _added(command, _SEARCH)


def data_options(command: Command) -> Command:
    """Add --data and all that says how it is read."""
    return _added(command, [*_DATA, *_PREPROCESS])


def preprocess_of(options: dict[str, Any]) -> "Preprocess":
    """Take the preprocessing out of a command's options."""
    from quant.preprocess.image_to_tensor import Preprocess

    path = options.pop("preprocess", None)
    base = Preprocess.from_toml(path) if path is not None else None
    return Preprocess.from_flags(base, **{name: options.pop(name, None) for name in FLAGS})


_MAIN: list[Decorator] = [
    model_option,
    data_options,
    target_option,
    option(
        "--holdout",
        section="Input",
        type=int,
        default=256,
        metavar="N",
        help="Number of other samples, held out to measure on.",
    ),
    option(
        "--labels",
        section="Input",
        type=TEXT,
        metavar="LABELS",
        help="CSV file with the columns file,label; or `folders`: one folder for each class.",
    ),
    option(
        "--metric",
        "metrics",
        section="Accuracy",
        type=METRIC,
        multiple=True,
        default=("top1",),
        metavar="NAME",
        help="How outputs are judged; repeat for several: {names}, or module:function. `quant list "
        "metrics` explains them.",
    ),
    observer_option,
    recipe_option,
    option(
        "--effort",
        section="Accuracy",
        type=OneOf(*EFFORTS),
        default="balanced",
        help="How much is tried to win accuracy back. `quant list efforts` explains them.",
    ),
    chip_options,
    option(
        "--layer-samples",
        section="Accuracy",
        type=int,
        default=8,
        metavar="N",
        help="Number of calibration samples that the error of each layer is measured on.",
    ),
    option(
        "--out",
        section="Output",
        type=FILE,
        metavar="FOLDER",
        default_text="quant-out/<model>",
        help="Folder of the run.",
    ),
]


def main_options(command: Command) -> Command:
    """Add the options of the main job."""
    return _added(command, _MAIN)


def job_of(options: dict[str, Any]) -> "Job":
    """Make a job of a command's options; the output folder defaults to quant-out/<model>."""
    from quant.api.arguments import job_of as job_of_arguments

    preprocess = preprocess_of(options)
    arguments = {**options, "preprocess": preprocess}
    names = arguments.pop("precisions", None) or ""
    arguments["precisions"] = [name.strip() for name in names.split(",") if name.strip()]
    arguments["budget"] = arguments.pop("budgets", ())
    searching = arguments.pop("searching", False)
    return job_of_arguments(arguments, searching=searching)

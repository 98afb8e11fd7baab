"""The options that several commands share, each spelt once, and what turns them into values."""

__all__ = [
    "chip_options",
    "data_options",
    "job_of",
    "json_option",
    "main_options",
    "model_option",
    "observer_option",
    "quiet_option",
    "recipe_option",
    "target_option",
    "threads_option",
]

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from quant.cli.command import added, option
from quant.cli.parts import EFFORTS
from quant.cli.preprocess_options import preprocess_of, preprocess_options
from quant.cli.table_values import METRIC, OBSERVER, TARGET
from quant.cli.values import FILE, TEXT, OneOf, Share

if TYPE_CHECKING:
    from quant.job.settings import Job

Command = Callable[..., Any]

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


def chip_options(command: Command) -> Command:
    """Add what becomes of layers that a chip cannot take; the versions come with `TargetCommand`."""
    return added(command, _CHIP)


def data_options(command: Command) -> Command:
    """Add --data and all that says how it is read."""
    return added(command, [*_DATA, preprocess_options])


_MAIN = [
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
    return added(command, _MAIN)


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

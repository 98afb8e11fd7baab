"""The shared options of the command line, each spelt once, and what turns them into values."""

__all__ = [
    "TargetCommand",
    "chip_options",
    "data_options",
    "job_of",
    "main_options",
    "model_option",
    "observer_option",
    "preprocess_of",
    "preprocess_options",
    "recipe_option",
    "search_options",
    "target_option",
]

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from quant.job.search_goal import SearchGoal
    from quant.job.settings import Job
    from quant.preprocess.image_to_tensor import Preprocess
    from quant.target.version_flag import VersionFlag

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

observer_option = click.option("--observer", metavar="NAME", help="Of activations.")
recipe_option = click.option(
    "--recipe", type=click.Path(path_type=Path), help="TOML file with rules for layers."
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
        "--allow-fallback",
        is_flag=True,
        help="Layers a chip cannot take stay float, or are cut to the CPU (NNIE).",
    ),
]


_SEARCH = [
    click.option("--max-drop", metavar="P%", help="Most that the metric may lose, as 0.5%."),
    click.option("--min-sqnr", type=float, metavar="DB", help="Least SQNR at the worst output."),
    click.option(
        "--budget",
        "budgets",
        multiple=True,
        metavar="AXIS=MOST",
        help="latency=2ms, size=3MB, ops=1.2G, or a share of the most exact plan: size=60%.",
    ),
    click.option(
        "--cost",
        type=click.Choice(["latency", "size", "ops"]),
        help="What the front weighs against the error.  [default: the budget's, or latency]",
    ),
    click.option(
        "--precisions", metavar="P,P", help="To choose among, cheapest first, as int8,float16."
    ),
    click.option(
        "--sensitivity",
        default="nmse",
        show_default=True,
        metavar="NAME",
        help="What a layer alone does: nmse, kl (classifiers), or a metric.",
    ),
    click.option(
        "--search-samples",
        type=int,
        default=64,
        show_default=True,
        help="That sensitivities are measured on.",
    ),
    click.option("--groups", type=int, default=0, help="Most groups of layers; 0 for all."),
    click.option(
        "--time-budget", type=float, metavar="S", help="Seconds; then the best so far is kept."
    ),
    click.option("--device", metavar="D", help="Of `quant roofline`, or your own device.toml."),
    click.option("--latency", metavar="CSV", help="Measured times: layer,precision,milliseconds."),
]


class TargetCommand(click.Command):
    """A command with the version flag of every target that has one, right before --allow-fallback.

    They stand in the tables of the targets, which import numpy and ONNX. So they are read when this
    command is parsed or explains itself, and not for `quant --help`. The values that a user gives
    reach the command as `versions`, by target.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options and arguments, those of the tables among them."""
        params = super().get_params(ctx)
        place = next(i for i, param in enumerate(params) if param.name == "allow_fallback")
        return [*params[:place], *_version_options(), *params[place:]]


@cache
def _version_options() -> tuple[click.Option, ...]:
    from quant.target.table import TARGETS

    flags = [flag for name in TARGETS if (flag := TARGETS[name].version) is not None]
    return tuple(
        click.Option(
            [flag.flag],
            type=click.Choice(flag.choices) if flag.choices else click.STRING,
            default=flag.default,
            show_default=True,
            metavar=None if flag.choices else flag.metavar,
            help=flag.help,
            expose_value=False,
            callback=_kept(flag),
        )
        for flag in flags
    )


def _kept(flag: "VersionFlag") -> Callable[[click.Context, click.Parameter, str], None]:
    def keep(ctx: click.Context, _: click.Parameter, value: str) -> None:
        ctx.params.setdefault("versions", {})[flag.target] = flag.checked(value)

    return keep


def chip_options(command: Command) -> Command:
    """Add what becomes of layers that a chip cannot take; the versions come with `TargetCommand`."""
    for option in reversed(_CHIP):
        command = option(command)
    return command


def preprocess_options(command: Command) -> Command:
    """Add the flags that say how an image becomes the input."""
    for option in reversed(_PREPROCESS):
        command = option(command)
    return command


def search_options(command: Command) -> Command:
    """Add what says how accurate or how cheap a mixed plan must be."""
    for option in reversed(_SEARCH):
        command = option(command)
    return command


def data_options(command: Command) -> Command:
    """Add --data and all that says how it is read."""
    for option in reversed([*_DATA, *_PREPROCESS]):
        command = option(command)
    return command


def preprocess_of(options: dict[str, Any]) -> "Preprocess":
    """Take the preprocessing out of a command's options."""
    from quant.preprocess.image_to_tensor import Preprocess

    path = options.pop("preprocess", None)
    base = Preprocess.from_toml(path) if path is not None else None
    return Preprocess.from_flags(base, **{name: options.pop(name, None) for name in FLAGS})


_MAIN: list[Callable[[Command], Command]] = [
    model_option,
    data_options,
    target_option,
    click.option(
        "--holdout", type=int, default=256, show_default=True, help="Others, to measure on."
    ),
    click.option("--labels", metavar="L", help="CSV with file,label; or `folders`: one a class."),
    click.option("--metric", "metrics", multiple=True, default=("top1",), show_default=True),
    observer_option,
    recipe_option,
    click.option(
        "--effort",
        type=click.Choice(["fast", "balanced", "best"]),
        default="balanced",
        show_default=True,
        help="How much is tried to buy accuracy back.",
    ),
    chip_options,
    click.option("--layer-samples", type=int, default=8, show_default=True, help="For layers.csv."),
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        help="Folder of the run.  [default: quant-out/<model>]",
    ),
]


def main_options(command: Command) -> Command:
    """Add the options of the main job."""
    for option in reversed(_MAIN):
        command = option(command)
    return command


def job_of(options: dict[str, Any]) -> "Job":
    """Make a job of a command's options; the output folder defaults to quant-out/<model>."""
    from quant.job.settings import Job

    preprocess = preprocess_of(options)
    goal = _goal(options)
    out = options.pop("out", None)
    if out is None:
        out = Path("quant-out") / (Path(options["model"].rsplit(":", 1)[-1]).stem or "model")
    return Job(preprocess=preprocess, out=Path(out), goal=goal, **options)


def _goal(options: dict[str, Any]) -> "SearchGoal | None":
    """Take what is said of a search out of a command's options; None where nothing limits it."""
    import math

    from quant.job.search_goal import SearchGoal, parse_budget, parse_drop

    searching = options.pop("searching", False)
    drop, least = options.pop("max_drop", None), options.pop("min_sqnr", None)
    budgets = tuple(b for text in options.pop("budgets", ()) for b in parse_budget(text))
    names = options.pop("precisions", None) or ""
    seconds = options.pop("time_budget", None)
    goal = SearchGoal(
        max_drop=parse_drop(drop) if drop is not None else None,
        min_sqnr=least,
        budgets=budgets,
        axis=options.pop("cost", None) or "",
        precisions=tuple(name.strip() for name in names.split(",") if name.strip()),
        sensitivity=options.pop("sensitivity", "nmse"),
        samples=options.pop("search_samples", 64),
        groups=options.pop("groups", 0),
        seconds=math.inf if seconds is None else seconds,
        device=options.pop("device", None),
        latency=options.pop("latency", None),
    )
    return goal if goal.limited or searching else None

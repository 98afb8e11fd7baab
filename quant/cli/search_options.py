"""The options that say how accurate or how cheap a mixed plan must be."""

__all__ = ["search_options"]

from collections.abc import Callable
from typing import Any

from quant.cli.command import added, option
from quant.cli.table_values import DEVICE, PRECISIONS, SENSITIVITY
from quant.cli.values import TEXT, OneOf, Share

_SEARCH = [
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


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says how accurate or how cheap a mixed plan must be."""
    return added(command, _SEARCH)

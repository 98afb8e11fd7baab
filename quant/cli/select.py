"""The command `quant select`, for the command line."""

__all__ = ["select"]

from pathlib import Path
from typing import Any

import click

from quant.cli.command import Command, option
from quant.cli.options import (
    data_options,
    job_of,
    json_option,
    model_option,
    observer_option,
    quiet_option,
    recipe_option,
)
from quant.cli.table_values import TARGET
from quant.cli.values import FILE, OneOf
from quant.common.errors import InputError


@click.command(
    cls=Command,
    examples=r"""
    quant select --model net.onnx --data photos/ --size 224x224 \
        --mean 127 --std 128 --samples 100 --out chosen.txt
    quant calibrate --model net.onnx --data chosen.txt --size 224x224 \
        --mean 127 --std 128 --out quant-out/net-chosen
    """,
)
@model_option
@data_options
@option(
    "--method",
    section="Selection",
    type=OneOf("coverage", "kmeans", "random"),
    default="coverage",
    help="Greedy k-centre, medoids of k-means, or a random choice.",
)
@option(
    "--pool",
    section="Selection",
    type=int,
    default=4096,
    metavar="N",
    help="Number of samples to choose from.",
)
@option(
    "--keep-odd",
    section="Selection",
    is_flag=True,
    help="Let samples be chosen that are out of domain.",
)
@option(
    "--target",
    section="Selection",
    type=TARGET,
    default="onnxruntime",
    metavar="NAME",
    help="Runtime or chip whose ranges show whether the samples are enough.",
)
@observer_option
@recipe_option
@option(
    "--out",
    section="Output",
    type=FILE,
    required=True,
    metavar="FILE",
    help="List that is written, .txt; or .npz where --data is arrays.",
)
@quiet_option
@json_option
def select(quiet: bool, as_json: bool, **options: Any) -> None:
    """Choose images to calibrate on, and show whether they are enough.

    The network runs once over up to --pool samples. Duplicates and outliers (noise, black frames,
    other data) are flagged and not chosen; the list has the most useful samples first, and --data
    reads it back. Beside it lie a .csv with a row for each sample, a .png, and a .json with every
    number.
    """
    from quant.calibration.selection.chosen_samples import selection_json, selection_text
    from quant.common.files import json_text
    from quant.common.progress import Progress
    from quant.run.select import Choice, select_samples

    out: Path = options.pop("out")
    choice = Choice(
        count=options.pop("samples"),
        method=options.pop("method"),
        keep_odd=options.pop("keep_odd"),
        out=out,
    )
    pool, target = options.pop("pool"), options.pop("target")
    if pool < 1:
        raise InputError(f"--pool: must be 1 or more, saw {pool}. Raise it.")
    job = job_of(
        {**options, "samples": pool, "targets": (target,), "holdout": 0, "out": out.parent}
    )
    progress = Progress(quiet=quiet or as_json)
    found = select_samples(job, choice, progress)
    if as_json:
        click.echo(json_text(selection_json(found)))
    else:
        click.echo(f"{out}: {selection_text(found)}")
    for warning in progress.warnings:
        click.echo(f"warning: {warning}", err=True)

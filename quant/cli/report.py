"""The commands that read a finished run: `quant report` and `quant diff`."""

__all__ = ["diff", "report"]

from pathlib import Path

import click

from quant.cli.command import Command, option
from quant.cli.options import json_option
from quant.cli.values import FILE, OneOf


@click.command(
    cls=Command,
    examples=r"""
    quant report quant-out/net
    quant report quant-out/net --format markdown --out comment.md
    quant report quant-out/net --format model-explorer
    """,
)
@click.argument("run", type=FILE)
@option(
    "--format",
    "form",
    section="Output",
    type=OneOf("html", "markdown", "model-explorer", "netron"),
    default="html",
    help="Page with figures; text for a pull request; node data for Google's Model Explorer; or "
    "the graph with errors in its nodes' metadata, for Netron.",
)
@option(
    "--out",
    section="Output",
    type=FILE,
    metavar="PATH",
    default_text="in the folder of the run",
    help="File that is written; for the viewers' formats a folder.",
)
def report(run: Path, form: str, out: Path | None) -> None:
    """Write the report of a run again, or in another format.

    RUN is the --out folder of `quant calibrate`; nothing else is read.
    """
    from quant.run.report import report_run

    for path in report_run(run, form, out):
        click.echo(str(path))


@click.command(
    cls=Command,
    examples=r"""
    quant diff quant-out/net quant-out/net-percentile
    quant diff quant-out/net quant-out/net-percentile --html diff.html
    """,
)
@click.argument("before", type=FILE)
@click.argument("after", type=FILE)
@option(
    "--html",
    section="Output",
    type=FILE,
    metavar="FILE",
    help="Write the comparison as a page too.",
)
@json_option
def diff(before: Path, after: Path, html: Path | None, as_json: bool) -> None:
    """Compare two runs layer by layer.

    BEFORE and AFTER are --out folders of `quant calibrate`. It lists which layers became better or
    worse, and what changed in their plans.
    """
    from quant.common.files import json_text
    from quant.run.report import diff_runs

    text, found = diff_runs(before, after, html)
    click.echo(json_text(found) if as_json else text)

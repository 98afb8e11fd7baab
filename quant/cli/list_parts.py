"""The command `quant list`: what is installed."""

__all__ = ["list_parts"]

import textwrap
from typing import Any

import click

from quant.cli.command import Command
from quant.cli.options import json_option
from quant.cli.parts import KINDS
from quant.cli.values import OneOf

WIDTH = 80


@click.command(
    "list",
    cls=Command,
    examples=r"""
    quant list
    quant list targets
    quant list devices
    quant list metrics --json
    """,
)
@click.argument("kind", required=False, metavar="[KIND]", type=OneOf(*KINDS))
@json_option
def list_parts(kind: str | None, as_json: bool) -> None:
    """Name what is installed: targets, devices, metrics and other parts.

    Without KIND it names the kinds that can be listed. Packages of your own that register parts
    are listed too.
    """
    from quant.cli.parts import parts
    from quant.common.files import json_text

    rows: list[dict[str, Any]]
    if kind is None:
        rows = [{"name": name, "about": about} for name, about in KINDS.items()]
    else:
        rows = parts(kind)
    if as_json:
        click.echo(json_text(rows))
        return
    wide = max(len(row["name"]) for row in rows)
    for row in rows:
        lines = textwrap.wrap(row["about"], WIDTH - wide - 2)
        for source in dict.fromkeys(row.get("sources", {}).values()):
            lines += textwrap.wrap(f"Source: {source}", WIDTH - wide - 2)
        for at, line in enumerate(lines):
            click.echo(f"{'' if at else row['name']:{wide}}  {line}")
    if kind is None:
        click.echo("\nquant list KIND lists one of them.")

"""A command whose options include the version flag of every target that has one."""

__all__ = ["TargetCommand"]

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import click

from quant.cli.command import Command, Option
from quant.cli.values import OneOf

if TYPE_CHECKING:
    from quant.target.version_flag import VersionFlag


class TargetCommand(Command):
    """A command with the version flag of every target that has one, right before --allow-fallback.

    They stand in the tables of the targets, which import numpy. So they are read when this command
    is parsed or explains itself, and not for `quant --help`. The values that a user gives reach the
    command as `versions`, by target.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options and arguments, those of the tables among them."""
        params = super().get_params(ctx)
        place = next(i for i, param in enumerate(params) if param.name == "allow_fallback")
        return [*params[:place], *_version_options(), *params[place:]]


@cache
def _version_options() -> tuple[click.Option, ...]:
    from quant.target.table import TARGETS

    flags = [flag for target in TARGETS.values() if (flag := target.version) is not None]
    return tuple(
        Option(
            [flag.flag],
            section="Targets",
            type=OneOf(*flag.choices) if flag.choices else click.STRING,
            default=flag.default,
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

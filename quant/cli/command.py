"""Commands whose help stands in sections: examples first, then the options, each with its default."""

__all__ = ["Command", "Group", "Option", "added", "option"]

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

SECTIONS = (
    *("Input", "Device", "Selection", "Limits", "Preprocessing", "Targets", "Accuracy", "Search"),
    "Output",
)
"""The sections of options, in the order in which a help text shows them."""


NAMES = "{names}"
"""Stands in the help of an option for the names of the table that its type looks up."""


class Option(click.Option):
    """An option that knows its section of the help, and shows its default and its choices there.

    Args:
        names: As of click.Option.
        section: One of SECTIONS.
        help: One sentence: what the option says, with its unit.
        default_text: Default in words, where it is not `default`.
        settings: The rest, as of click.Option.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        section: str,
        help: str,
        default_text: str = "",
        **settings: Any,
    ) -> None:
        shown = default_text or _shown(settings.get("default"))
        choices = getattr(settings.get("type"), "choices", ())
        if choices and settings.get("metavar") is None:
            settings["metavar"] = f"[{'|'.join(choices)}]"
        text = f"{help}  [default: {shown}]" if shown else help
        super().__init__(names, help=text, **settings)
        self.section = section

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option's line of the help, with the names of the table that it takes."""
        record = super().get_help_record(ctx)
        names = getattr(self.type, "names", None)
        if record is None or names is None or NAMES not in record[1]:
            return record
        return record[0], record[1].replace(NAMES, ", ".join(names()))


def option(*names: str, section: str, help: str, **settings: Any) -> Callable[[Any], Any]:
    """Return a decorator that adds an Option with these names and settings."""
    return click.option(*names, cls=Option, section=section, help=help, **settings)


def added(
    command: Callable[..., Any], options: Sequence[Callable[[Any], Any]]
) -> Callable[..., Any]:
    """Return a command with options, the first of them first in its help."""
    for one in reversed(options):
        command = one(command)
    return command


def _shown(default: Any) -> str:
    if default is None or isinstance(default, bool):
        return ""
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)


class Command(click.Command):
    """A command with examples that a person can paste.

    Args:
        args: As of click.Command.
        examples: Command lines, one a line; a longer one goes on behind a backslash.
        settings: As of click.Command.
    """

    def __init__(self, *args: Any, examples: str = "", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = _commands(examples)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write usage, text, examples and options, in this order."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        _write_examples(self.examples, formatter)
        self.format_options(ctx, formatter)
        self.format_epilog(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options section by section."""
        rows: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None:
                rows.setdefault(getattr(parameter, "section", "Output"), []).append(row)
        for section in sorted(rows, key=SECTIONS.index):
            with formatter.section(section):
                formatter.write_dl(rows[section])


class Group(click.Group):
    """The whole command line: commands in sections, in the order of a project."""

    command_class = Command

    def __init__(
        self,
        *args: Any,
        sections: Mapping[str, Sequence[str]],
        examples: str = "",
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self.sections = sections
        self.examples = _commands(examples)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write usage, text, examples, commands and options, in this order."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        _write_examples(self.examples, formatter)
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)
        self.format_epilog(ctx, formatter)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the sections."""
        return [name for names in self.sections.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands section by section, each with the first line of its help."""
        wide = max(map(len, self.commands))
        for section, names in self.sections.items():
            with formatter.section(section):
                formatter.write_dl([(f"{n:{wide}}", _first_line(self.commands[n])) for n in names])


def _first_line(command: click.Command) -> str:
    """Return what a command does, in one line."""
    return (command.help or "").strip().split("\n")[0]


def _commands(text: str) -> tuple[str, ...]:
    """Return the command lines of a text, with the line breaks that stand behind a backslash."""
    lines = textwrap.dedent(text).strip()
    return tuple(re.split(r"(?<!\\)\n", lines)) if lines else ()


def _write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    """Write command lines as they are: a line break would break them."""
    if not examples:
        return
    with formatter.section("Examples"):
        for example in examples:
            for line in example.split("\n"):
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")

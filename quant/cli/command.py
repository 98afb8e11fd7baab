"""Commands whose help stands in sections: examples first, then the options, each with its default."""

__all__ = ["Command", "Group", "Option", "option"]

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

SECTIONS = (
    *("Input", "Preprocessing", "Targets", "Accuracy", "Search", "Selection", "Device", "Limits"),
    *("Output", "Other"),
)
"""The sections of options, in the order in which a help text shows them."""


class Option(click.Option):
    """An option that knows the section of the help in which it stands."""

    def __init__(self, *args: Any, section: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.section = section


def option(
    *names: str, section: str, help: str, default_text: str = "", **settings: Any
) -> Callable[[Any], Any]:
    """Return a decorator that adds an option with its default in the help.

    Args:
        names: As of click.option.
        section: One of SECTIONS.
        help: One sentence: what the option says, with its unit.
        default_text: Default in words, where it is not `settings["default"]`.
        settings: The rest, as of click.option.
    """
    default = settings.get("default")
    shown = default_text or _shown(default)
    choices = getattr(settings.get("type"), "choices", ())
    if choices and "metavar" not in settings:
        settings["metavar"] = f"[{'|'.join(choices)}]"
    text = f"{help}  [default: {shown}]" if shown else help
    return click.option(*names, cls=Option, section=section, help=text, **settings)


def _shown(default: Any) -> str:
    if default is None or isinstance(default, bool):
        return ""
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)


class Command(click.Command):
    """A command with examples that a person can paste.

    Args:
        args: As of click.Command.
        examples: Whole command lines; a longer one goes on behind a backslash.
        settings: As of click.Command.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = tuple(examples)

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
        examples: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self.sections = sections
        self.examples = tuple(examples)

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
                formatter.write_dl([(f"{n:{wide}}", first_line(self.commands[n])) for n in names])


def first_line(command: click.Command) -> str:
    """Return what a command does, in one line."""
    return (command.help or "").strip().split("\n")[0]


def _write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    """Write command lines as they are: a line break would break them."""
    if not examples:
        return
    with formatter.section("Examples"):
        for example in examples:
            for line in example.split("\n"):
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")

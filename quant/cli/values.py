"""Values of options: shares, choices and names of parts, each checked with a near miss named."""

__all__ = ["FILE", "TEXT", "CompletedText", "FromTable", "OneOf", "Share"]

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from quant.common.errors import InputError

# click.ParamType is generic in new releases of click only: hence `type-arg` below
FILE = click.Path(path_type=Path)


class CompletedText(click.ParamType):  # type: ignore[type-arg]
    """Text in which a shell completes paths: a file, or `module:function`."""

    name = "text"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Let the shell complete a path."""
        return [CompletionItem(incomplete, type="file")]


TEXT = CompletedText()


class Share(click.ParamType):  # type: ignore[type-arg]
    """A share: 1% and 0.01 are the same; a bare number of 1 or more is refused."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return a number from 0 to 1."""
        if isinstance(value, int | float):
            return float(value)
        from quant.common.parse import share

        return share(str(value), _flag_of(param))


class OneOf(click.ParamType):  # type: ignore[type-arg]
    """One word of a few; capitals do not matter.

    Args:
        choices: The words, as they are passed on.
    """

    name = "choice"

    def __init__(self, *choices: str) -> None:
        self.choices = choices

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word as it is spelt here."""
        for choice in self.choices:
            if choice.lower() == str(value).lower():
                return choice
        near = get_close_matches(str(value).lower(), [c.lower() for c in self.choices], n=1)
        hint = next((f" Did you mean '{c}'?" for c in self.choices if [c.lower()] == near), "")
        *head, last = self.choices
        raise InputError(
            f"{_flag_of(param)}: must be {', '.join(head)} or {last}, saw '{value}'."
            f"{hint or ' Choose one.'}"
        )

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the words."""
        return _completed(self.choices, incomplete)


class FromTable(click.ParamType):  # type: ignore[type-arg]
    """The name of a registered part; the table is imported when a name is looked up.

    Args:
        what: "target", "metric", ...: as in the messages.
        find: Returns the name under which a part is registered, or raises InputError.
        names: Returns all names.
        more: Further words that are taken as they are.
    """

    def __init__(
        self,
        what: str,
        find: Callable[[str], str],
        names: Callable[[], Sequence[str] | Mapping[str, str]],
        more: Sequence[str] = (),
    ) -> None:
        self.name, self.find, self.names, self.more = what, find, names, tuple(more)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name under which the part is registered."""
        return str(value) if value in self.more else self.find(str(value))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the names."""
        return _completed([*self.more, *self.names()], incomplete)


def _flag_of(param: click.Parameter | None) -> str:
    """Return how an option or an argument is written."""
    if param is None:
        return "value"
    return max(param.opts, key=len) if isinstance(param, click.Option) else str(param.name).upper()


def _completed(words: Sequence[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(w) for w in words if w.lower().startswith(incomplete.lower())]

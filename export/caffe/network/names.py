"""Names that NNIE's mapper takes: ASCII, unique, and without the suffixes that it reads as marks."""

__all__ = ["LONGEST", "Names", "plain", "short"]

import re
from hashlib import sha256

LONGEST = 31
"""Characters of an input's or output's name: the board keeps 32 bytes, the last one zero."""

MARKS = ("_hp", "_cpu", "_report")
"""Suffixes that mean something: high precision, host CPU, extra output."""


def plain(name: str, otherwise: str) -> str:
    """Return the name with every run of characters outside `[A-Za-z0-9_.-]` as one underscore.

    A name that would end in a mark by chance gets another underscore behind it.

    >>> plain("/layer1/conv 1", "Conv"), plain("x_hp", "Conv"), plain("/", "Conv")
    ('layer1_conv_1', 'x_hp_', 'Conv')
    """
    made = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_") or otherwise
    return made + "_" if made.endswith(MARKS) else made


def short(name: str, suffix: str = "") -> str:
    """Return `name + suffix`, at most 31 characters: a longer name ends in 6 digits of its SHA-256."""
    room = LONGEST - len(suffix)
    if len(name) <= room:
        return name + suffix
    digest = sha256(name.encode()).hexdigest()[:6]
    return f"{name[: room - 7]}_{digest}{suffix}"


class Names:
    """Hands out names, each once."""

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self._taken = set(taken)

    @property
    def taken(self) -> frozenset[str]:
        """The names so far."""
        return frozenset(self._taken)

    def take(self, wanted: str) -> str:
        """Return `wanted`, or with `_1`, `_2`, ... behind it when somebody has it."""
        name, count = wanted, 0
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name

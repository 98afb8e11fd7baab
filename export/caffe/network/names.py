"""Names that NNIE's mapper accepts: ASCII, unique, without suffixes that it would interpret."""

__all__ = ["MAX_NAME_LENGTH", "Names", "mapper_name", "shortened"]

import re
from hashlib import sha256

MAX_NAME_LENGTH = 31
"""Characters of an input's or output's name: the board keeps 32 bytes, the last one zero."""

RESERVED_SUFFIXES = ("_hp", "_cpu", "_report")
"""Suffixes that the mapper reads: high precision, host CPU, extra output."""


def mapper_name(name: str, otherwise: str) -> str:
    """Return the name with every run of characters outside `[A-Za-z0-9_.-]` as one underscore.

    A name that ends in a reserved suffix by chance gets another underscore behind it.

    >>> mapper_name("/layer1/conv 1", "Conv"), mapper_name("x_hp", "Conv"), mapper_name("/", "Conv")
    ('layer1_conv_1', 'x_hp_', 'Conv')
    """
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_") or otherwise
    return safe + "_" if safe.endswith(RESERVED_SUFFIXES) else safe


def shortened(name: str, suffix: str = "") -> str:
    """Return `name + suffix`, at most 31 characters: a longer one ends in 6 digits of its SHA-256."""
    room = MAX_NAME_LENGTH - len(suffix)
    if len(name) <= room:
        return name + suffix
    digest = sha256(name.encode()).hexdigest()[:6]
    return f"{name[: room - 7]}_{digest}{suffix}"


class Names:
    """A set of names in which every name is given out once."""

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self._taken = set(taken)

    @property
    def taken(self) -> frozenset[str]:
        """The names that were given out."""
        return frozenset(self._taken)

    def take(self, stem: str) -> str:
        """Return `stem`, or with `_1`, `_2`, ... behind it where the name is taken."""
        name, count = stem, 0
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name

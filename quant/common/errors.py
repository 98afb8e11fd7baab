"""Every error a user can meet, as one small tree.

* QuantError                 what the command line prints without a traceback
  x InputError               a file, flag or recipe that the user can mend
  x UnsupportedError         a model or target that we cannot serve yet
  x GateError                the numbers are in, and they breach a limit

A message has the form "place: rule that was broken, what was seen, what was wanted. One mend."
"""

__all__ = ["GateError", "InputError", "QuantError", "UnsupportedError", "few"]

from collections.abc import Iterable


class QuantError(Exception):
    """The root: a sentence for the user. The command line exits with 2 (GateError: 1)."""


class InputError(QuantError):
    """Something the user gave is wrong, and the message says how to mend it."""


class UnsupportedError(QuantError):
    """The input is right, but this version cannot serve it; the message says what would work."""


class GateError(QuantError):
    """The measured numbers breach a limit that the user set."""


def few(names: Iterable[str], most: int = 5) -> str:
    """Return the names quoted and joined, cut to `most` and counted.

    >>> few(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    listed = [f"'{name}'" for name in names]
    hidden = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {hidden} more" if hidden > 0 else "")

"""Every error a user can meet, as one small tree.

* QuantError                 what the command line prints without a traceback
  x InputError               a file, flag or recipe that the user can mend
  x UnsupportedError         a model or target that we cannot serve yet
  x GateError                the numbers are in, and they breach a limit

A message has the form "place: rule that was broken, what was seen, what was wanted. One mend."
"""

__all__ = ["GateError", "InputError", "QuantError", "UnsupportedError", "few", "reason_of"]

import errno
from collections.abc import Iterable, Mapping
from types import MappingProxyType

REASONS: Mapping[int, str] = MappingProxyType(
    {
        errno.ENOENT: "there is no such file",
        errno.EISDIR: "it is a folder, not a file",
        errno.ENOTDIR: "a part of its path is a file, not a folder",
        errno.EEXIST: "a part of its path is a file, not a folder",
        errno.EACCES: "permission is denied",
        errno.EPERM: "permission is denied",
        errno.ENOSPC: "the disk is full",
        errno.EROFS: "the disk is read-only",
    }
)
"""What the operating system's error numbers mean for a file that is read or written."""


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


def reason_of(error: Exception) -> str:
    """Return why a file cannot be read or written, without number, path or full stop.

    >>> reason_of(FileNotFoundError(2, "No such file or directory", "x.toml"))
    'there is no such file'
    """
    if isinstance(error, OSError):
        return REASONS.get(error.errno or 0) or (error.strerror or str(error)).rstrip(".")
    if isinstance(error, UnicodeDecodeError):
        return "it is not text in UTF-8"
    return str(error).rstrip(".") or type(error).__name__

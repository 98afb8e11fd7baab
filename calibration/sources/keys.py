"""Keys: names of samples that can be stored, compared and shown, whatever a file is called."""

__all__ = ["key_of", "shown"]

import os


def key_of(path: str) -> str:
    """Return a relative path as a key: POSIX slashes, bytes outside UTF-8 as backslash and hex."""
    return os.fsencode(path.replace(os.sep, "/")).decode("utf-8", "backslashreplace")


def shown(text: str) -> str:
    """Return text for a message of one line: control characters as Python spells them.

    >>> print(shown("two" + chr(10) + "lines.jpg").replace(chr(92), "/"))
    two/nlines.jpg
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)

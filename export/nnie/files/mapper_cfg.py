"""The mapper's configuration: lines of `[key] value`, written and read."""

__all__ = [
    "CHOICES",
    "MOST_NAME",
    "SMALLEST_SCALE",
    "Cfg",
    "Line",
    "cfg_text",
    "is_file",
    "named_file",
    "read_cfg",
    "why",
]

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CHOICES: dict[str, tuple[str, ...]] = {
    "net_type": ("0", "1", "2"),
    "image_type": ("0", "1", "3", "5"),
    "norm_type": ("0", "1", "2", "3", "4", "5"),
    "RGB_order": ("RGB", "BGR"),
    "compile_mode": ("0", "1", "2"),
    "compress_mode": ("0", "1"),
    "is_simulation": ("0", "1"),
    "internal_stride": ("16", "32"),
    "log_level": ("0", "1", "2", "3"),
    "is_check_prototxt": ("0", "1"),
}
"""Keys with a few legal values: HiSVP development guide, section 3.5.2, table 3-6."""


SMALLEST_SCALE = 1 / 4096
"""`data_scale` must be above it: the same table."""


MOST_NAME = 119
"""Characters of `instruction_name`: the same table wants fewer than 120."""


LINE = re.compile(r"\s*\[([^\]]*)\]\s*(.*?)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One key and what stands behind it.

    Attributes:
        key: Without the brackets.
        value: Without white space around it; "" where nothing stands there.
        number: Of the line, from 1.
    """

    key: str
    value: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cfg:
    """A configuration as it was read.

    Attributes:
        lines: In the order of the file. A key may come again: a group a network input.
        strays: `(line number, text)` of what is neither `[key] value` nor empty.
    """

    lines: tuple[Line, ...]
    strays: tuple[tuple[int, str], ...] = ()

    def every(self, key: str) -> list[Line]:
        """Return the lines of a key, in order."""
        return [line for line in self.lines if line.key == key]

    def get(self, key: str, default: str = "") -> str:
        """Return the first value of a key, `default` where it is missing."""
        return next((line.value for line in self.every(key)), default)


def cfg_text(pairs: Iterable[tuple[str, object]]) -> str:
    """Return the file: one `[key] value` a line, LF, no comments.

    Raises:
        ValueError: A value holds a line break or ends in white space, so that it would read back
            as something else.
    """
    wanted = [(key, str(value)) for key, value in pairs]
    text = "".join(f"[{key}] {value}\n" for key, value in wanted)
    if [(line.key, line.value) for line in read_cfg(text).lines] != wanted:
        raise ValueError(f"A value of {wanted} would not read back.")
    return text


def read_cfg(text: str) -> Cfg:
    """Return what a configuration says; it never raises, what is odd is in `strays`."""
    lines, strays = [], []
    for number, row in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if found := LINE.fullmatch(row):
            lines.append(Line(key=found[1].strip(), value=found[2], number=number))
        elif row.strip():
            strays.append((number, row.strip()))
    return Cfg(lines=tuple(lines), strays=tuple(strays))


def named_file(folder: Path, name: str) -> Path:
    """Return the file that a configuration or a list names; RuyiStudio writes backslashes."""
    path = folder / name
    try:
        return path if path.exists() else folder / name.replace("\\", "/")
    except OSError:  # a name that is too long, say
        return path


def is_file(path: Path) -> bool:
    """Return whether a path, however odd, is a file."""
    try:
        return path.is_file()
    except OSError:
        return False


def why(error: Exception) -> str:
    """Return why a file could not be read, without a full stop."""
    told = error.strerror if isinstance(error, OSError) else str(error)
    return str(told or type(error).__name__).rstrip(".")

"""Write and read the mapper's configuration: lines of `[key] value`."""

__all__ = [
    "CHOICES",
    "MAX_NAME",
    "SCALE_ABOVE",
    "Cfg",
    "Line",
    "cfg_text",
    "is_file",
    "read_cfg",
    "resolved_file",
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
"""Keys that have a fixed set of values: HiSVP development guide, section 3.5.2, table 3-6."""


SCALE_ABOVE = 1 / 4096
"""`data_scale` must be above this number: the same table."""


MAX_NAME = 119
"""Largest number of characters of `instruction_name`: the same table requires fewer than 120."""


LINE = re.compile(r"\s*\[([^\]]*)\]\s*(.*?)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One key and its value.

    Attributes:
        key: The key without its brackets.
        value: The text behind the key, without white space around it.
        number: Number of the line, from 1.
    """

    key: str
    value: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cfg:
    """A configuration as it was read.

    Attributes:
        lines: The keys in the order of the file. A key may come again, once for each network input.
        unparsed: `(line number, text)` of lines that are neither `[key] value` nor empty.
    """

    lines: tuple[Line, ...]
    unparsed: tuple[tuple[int, str], ...] = ()

    def lines_of(self, key: str) -> list[Line]:
        """Return the lines of a key, in order."""
        return [line for line in self.lines if line.key == key]

    def get(self, key: str, default: str = "") -> str:
        """Return the first value of a key, `default` where it is missing."""
        return next((line.value for line in self.lines_of(key)), default)


def cfg_text(pairs: Iterable[tuple[str, object]]) -> str:
    """Return the text of the file: one `[key] value` per line, LF, no comments.

    Raises:
        ValueError: A value holds a line break or ends in white space, so that it would be read back
            differently.
    """
    lines = [(key, str(value)) for key, value in pairs]
    text = "".join(f"[{key}] {value}\n" for key, value in lines)
    if [(line.key, line.value) for line in read_cfg(text).lines] != lines:
        raise ValueError(f"A value of {lines} would not read back.")
    return text


def read_cfg(text: str) -> Cfg:
    """Return a parsed configuration; it never raises: unreadable lines are in `unparsed`."""
    lines, unparsed = [], []
    for number, row in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if match := LINE.fullmatch(row):
            lines.append(Line(key=match[1].strip(), value=match[2], number=number))
        elif row.strip():
            unparsed.append((number, row.strip()))
    return Cfg(lines=tuple(lines), unparsed=tuple(unparsed))


def resolved_file(folder: Path, name: str) -> Path:
    """Return the file that a configuration or a list names; RuyiStudio writes backslashes."""
    path = folder / name
    try:
        return path if path.exists() else folder / name.replace("\\", "/")
    except OSError:  # a name that is too long, say
        return path


def is_file(path: Path) -> bool:
    """Return whether a path is a file; False for a path that the system refuses."""
    try:
        return path.is_file()
    except OSError:
        return False

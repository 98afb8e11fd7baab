"""Read a prototxt of any exporter, and list the fields that NNIE's dialect lacks."""

__all__ = ["ParsedPrototxt", "UnknownField", "read_prototxt"]

import re
from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format

from quant.export.caffe.network.messages import message

MAX_UNKNOWN = 100
"""Number of unknown fields at which reading stops, because the file is of another kind."""

NO_FIELD = re.compile(r'Message type "caffe\.(\w+)" has no field named "([^"]+)"')
QUOTED = r'"(?:[^"\\\n]|\\.)*"|' + r"'(?:[^'\\\n]|\\.)*'"
TOKEN = re.compile(QUOTED + r"|#[^\n]*|[]{}<>[]|[^]\s{}<>\"'#[]+|\S")
OPENING, CLOSING = "{<[", "}>]"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownField:
    """A field that the dialect lacks: its message, its name, and its line, from 1."""

    message: str
    field: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedPrototxt:
    """The result of reading a prototxt.

    Attributes:
        net: The NetParameter without the unknown fields; None where the text is broken.
        unknown: The unknown fields in the order of the text.
        broken: The line at which reading stopped, and the reason; None where it did not stop.
    """

    net: Any
    unknown: tuple[UnknownField, ...] = ()
    broken: tuple[int, str] | None = None


def read_prototxt(text: str) -> ParsedPrototxt:
    """Return the network of a prototxt; it never raises."""
    unknown: list[UnknownField] = []
    while True:
        try:
            net = text_format.Parse(text, message("NetParameter"))
        except text_format.ParseError as error:
            reason = str(error).split(" : ", 1)[-1].rstrip(".")
            line, column = error.GetLine() or 1, error.GetColumn() or 1
            match = NO_FIELD.search(reason)
            start = _offset(text, line, column)
            if match is None or len(unknown) == MAX_UNKNOWN or not text.startswith(match[2], start):
                return ParsedPrototxt(net=None, unknown=tuple(unknown), broken=(line, reason))
            unknown.append(UnknownField(message=match[1], field=match[2], line=line))
            text = _blanked(text, start, start + len(match[2]))
        except (ValueError, RecursionError) as error:
            return ParsedPrototxt(net=None, unknown=tuple(unknown), broken=(1, str(error)))
        else:
            return ParsedPrototxt(net=net, unknown=tuple(unknown))


def _offset(text: str, line: int, column: int) -> int:
    """Return the offset of a line and a column, both from 1, in the text."""
    start = 0
    for _ in range(line - 1):
        start = text.index("\n", start) + 1
    return start + column - 1


def _blanked(text: str, start: int, behind: int) -> str:
    """Return the text with a field's name and value as spaces; line breaks and offsets stay."""
    depth, end = 0, behind
    for token in TOKEN.finditer(text, behind):
        text_token = token[0]
        if text_token == ":" or text_token.startswith("#"):
            continue
        if text_token in CLOSING and depth == 0:  # of the message around a field without a value
            break
        depth += (text_token in OPENING) - (text_token in CLOSING)
        end = token.end()
        if depth == 0:
            break
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]

"""Read a prototxt that somebody else may have written, and say all that NNIE's dialect lacks."""

__all__ = ["Foreign", "Unknown", "read_prototxt"]

import re
from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format

from quant.export.caffe.network.messages import message

MOST = 100
"""Unknown fields after which reading stops: the file is of another kind."""

NO_FIELD = re.compile(r'Message type "caffe\.(\w+)" has no field named "([^"]+)"')
QUOTED = r'"(?:[^"\\\n]|\\.)*"|' + r"'(?:[^'\\\n]|\\.)*'"
TOKEN = re.compile(QUOTED + r"|#[^\n]*|[]{}<>[]|[^]\s{}<>\"'#[]+|\S")
OPENING, CLOSING = "{<[", "}>]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A field that the dialect lacks: of which message, its name, and the line, from 1."""

    message: str
    field: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """What could be read.

    Attributes:
        net: The NetParameter without the unknown fields; None where the text is broken.
        unknown: In the order of the text.
        broken: Why reading stopped, and the line; None where it did not.
    """

    net: Any
    unknown: tuple[Unknown, ...] = ()
    broken: tuple[int, str] | None = None


def read_prototxt(text: str) -> Foreign:
    """Return the network that a prototxt says; it never raises."""
    unknown: list[Unknown] = []
    while True:
        try:
            net = text_format.Parse(text, message("NetParameter"))
        except text_format.ParseError as error:
            said = str(error).split(" : ", 1)[-1].rstrip(".")
            line, column = error.GetLine() or 1, error.GetColumn() or 1
            found = NO_FIELD.search(said)
            start = _offset(text, line, column)
            if found is None or len(unknown) == MOST or not text.startswith(found[2], start):
                return Foreign(net=None, unknown=tuple(unknown), broken=(line, said))
            unknown.append(Unknown(message=found[1], field=found[2], line=line))
            text = _without(text, start, start + len(found[2]))
        except (ValueError, RecursionError) as error:
            return Foreign(net=None, unknown=tuple(unknown), broken=(1, str(error)))
        else:
            return Foreign(net=net, unknown=tuple(unknown))


def _offset(text: str, line: int, column: int) -> int:
    """Return where a line and a column, both from 1, are in the text."""
    start = 0
    for _ in range(line - 1):
        start = text.index("\n", start) + 1
    return start + column - 1


def _without(text: str, start: int, behind: int) -> str:
    """Blank out a field, its name and value; line breaks stay, so that places stay."""
    depth, end = 0, behind
    for token in TOKEN.finditer(text, behind):
        said = token[0]
        if said == ":" or said.startswith("#"):
            continue
        if said in CLOSING and depth == 0:  # of the message around a field without a value
            break
        depth += (said in OPENING) - (said in CLOSING)
        end = token.end()
        if depth == 0:
            break
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]

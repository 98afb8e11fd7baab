"""What an NNIE export is told of in DEPLOY.md, and how its names are shown there."""

__all__ = ["Story", "code", "dims", "listed"]

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

from quant.export.nnie.files.feeds import Feed
from quant.export.nnie.graph.precision import Precision

Output: TypeAlias = tuple[str, str, tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happened, for the telling.

    Attributes:
        title: The network's name, as the user gave it.
        name: Stem of the files, ASCII.
        feeds: In the order of the prototxt.
        inputs: Their blobs' names and dims in the prototxt.
        outputs: `(tensor of the model, blob, the blob's dims, the tensor's)` of what NNIE gives.
        unread: Other blobs that the board gives, for no layer reads them.
        precision: As the mapper is told.
        weighted: How many layers have weights.
        keys: Of the calibration samples; the last is the one to compare.
        tail: Names of the nodes that the CPU computes behind NNIE.
        tail_inputs: `(tensor, dims)` of what they read.
        custom: Names of those that it computes in between, as Custom layers.
        files: `(name, what it is)`.
    """

    title: str
    name: str
    feeds: Sequence[Feed]
    inputs: Sequence[tuple[str, tuple[int, ...]]]
    outputs: Sequence[Output]
    unread: Sequence[str]
    precision: Precision
    weighted: int
    keys: Sequence[str]
    tail: Sequence[str]
    tail_inputs: Sequence[tuple[str, tuple[int, ...]]]
    custom: Sequence[str]
    files: Sequence[tuple[str, str]]


def code(text: str) -> str:
    r"""Return any text as a Markdown code span on one line; what cannot be printed is escaped.

    >>> code("a"), code("x`y"), code("a\nb")
    ('`a`', '``x`y``', '`a\\nb`')
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    ticks = "`" * (1 + max((len(list(g)) for c, g in groupby(shown) if c == "`"), default=0))
    pad = " " if shown[:1] in ("`", "") or shown[-1:] == "`" else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def dims(lengths: Sequence[int]) -> str:
    """Return a shape as people write it: 1x3x224x224."""
    return "x".join(map(str, lengths))


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return names as code spans, cut to `most` and counted."""
    rest = len(names) - most
    return ", ".join(map(code, names[:most])) + (f" and {rest} more" if rest > 0 else "")

"""Tell what an export became: for DEPLOY.md and for run.json."""

__all__ = ["TAIL", "Story", "code", "dims", "facts_of", "listed", "tell"]

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any, TypeAlias

import onnx_ir as ir

from quant.export.caffe.convert import CaffeNet
from quant.export.caffe.network.shapes import Shape
from quant.export.nnie.files.cfg_values import means
from quant.export.nnie.files.feeds import Feed
from quant.export.nnie.files.record import RECORD
from quant.export.nnie.files.sample_lists import Lists
from quant.export.nnie.graph.precision import MapperPrecision
from quant.export.nnie.graph.split import Split
from quant.export.nnie.version import NNIE_VERSION
from quant.graph.prepared_graph import weight_of
from quant.target.deployment import Deployment

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
    precision: MapperPrecision
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


TAIL = "tail.onnx"


def tell(
    split: Split,
    name: str,
    feeds: Sequence[Feed],
    caffe: CaffeNet,
    chosen: MapperPrecision,
    lists: Lists,
) -> Story:
    """Return what DEPLOY.md tells.

    Args:
        split: The graph in two.
        name: Stem of the files.
        feeds: Of the Caffe network's inputs, in its order.
        caffe: The network.
        chosen: Its precisions.
        lists: The calibration samples as they were written.
    """
    kinds = ["calibration pictures" if f.picture else "calibration tensors" for f in feeds]
    files = [
        (f"{name}.prototxt", "the network"),
        (f"{name}.caffemodel", "its weights"),
        (f"{name}.cfg", "for the chip"),
        (f"{name}_sim.cfg", "for the functional simulator on a PC"),
        *((mean, "the mean of each channel, in the network's order") for mean in means(feeds)),
        *((listed, f"{kind}, one a line") for listed, kind in zip(lists.names, kinds, strict=True)),
        (RECORD, "which tensor of the model each Caffe layer is"),
        ("DEPLOY.md", "this page"),
    ]
    if split.tail is not None:
        files.insert(-1, (TAIL, "what the CPU computes"))
    return Story(
        title=split.head.name,
        name=name,
        feeds=feeds,
        inputs=[(caffe.inputs[f.input], caffe.shapes[caffe.inputs[f.input]]) for f in feeds],
        outputs=[_output(value, caffe) for value in split.head.outputs],
        unread=caffe.unread,
        precision=chosen,
        weighted=sum(weight_of(node) is not None for node in split.head.nodes),
        keys=lists.keys,
        tail=[str(node.name) for node in split.tail.graph] if split.tail is not None else [],
        tail_inputs=_reads(split.tail),
        custom=sorted(split.custom),
        files=files,
    )


def facts_of(story: Story, deployment: Deployment) -> dict[str, Any]:
    """Return what `run.json` keeps."""
    return {
        "nnie_version": NNIE_VERSION.of(deployment.versions),
        "compile_mode": story.precision.compile_mode,
        "high_precision_layers": len(story.precision.high),
        "raised_layers": list(story.precision.raised),
        "tail_nodes": list(story.tail),
        "custom_nodes": list(story.custom),
        "calibration_samples": len(story.keys),
        "picture_inputs": sum(feed.picture for feed in story.feeds),
        "tensor_inputs": sum(not feed.picture for feed in story.feeds),
    }


def _output(value: ir.Value, caffe: CaffeNet) -> tuple[str, str, Shape, Shape]:
    """Return a result's name, its blob, the blob's shape and the tensor's own."""
    blob = caffe.tops[str(value.name)]
    shape = caffe.shapes[blob]
    own = list(value.shape) if value.shape is not None else []
    dims = [d if isinstance(d, int) else 1 for d in own[:1]]
    dims += [d if isinstance(d, int) else 0 for d in own[1:]]
    return str(value.name), blob, shape, tuple(dims) if prod(dims) == prod(shape) else shape


def _reads(tail: ir.Model | None) -> list[tuple[str, Shape]]:
    """Return the tail's inputs with their shapes, which the cut has fixed; 0 for an open length."""
    values = tail.graph.inputs if tail is not None else ()
    return [
        (str(v.name), tuple(d if isinstance(d, int) else 0 for d in v.shape or ())) for v in values
    ]

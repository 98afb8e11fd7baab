"""The facts about an NNIE export that DEPLOY.md and run.json report."""

__all__ = [
    "TAIL",
    "Conversion",
    "DeployFacts",
    "code",
    "deploy_facts",
    "listed",
    "run_facts",
]

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any, TypeAlias

import onnx_ir as ir

from quant.export.caffe.convert import CaffeNet
from quant.export.caffe.network.shapes import Shape
from quant.export.nnie.files.cfg_values import mean_files
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
class Conversion:
    """A graph as the mapper gets it.

    Attributes:
        name: Stem of the files, ASCII.
        split: The parts of the graph for NNIE and for the CPU.
        feeds: The inputs of the Caffe network, in its order.
        precision: The precisions that the mapper is given.
        caffe: The Caffe network.
    """

    name: str
    split: Split
    feeds: Sequence[Feed]
    precision: MapperPrecision
    caffe: CaffeNet


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployFacts:
    """The facts about an export that DEPLOY.md and run.json report.

    Attributes:
        title: The network's name, as the user gave it.
        name: Stem of the files, ASCII.
        feeds: The inputs, in the order of the prototxt.
        inputs: `(blob, dims)` of each input in the prototxt.
        outputs: `(tensor of the model, blob, the blob's dims, the tensor's dims)` of each output.
        unread: Blobs that the board reports as well, because no layer reads them.
        precision: The precisions that the mapper is given.
        weighted: Number of layers with weights.
        keys: Keys of the calibration samples; the last sample is the one to compare.
        tail: Names of the nodes that the CPU computes behind NNIE.
        tail_inputs: `(tensor, dims)` of the tail's inputs.
        custom: Names of the nodes that the CPU computes in between, as Custom layers.
        files: `(name, description)` of each file.
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
    r"""Return any text as a Markdown code span on one line, unprintable characters escaped.

    >>> code("a"), code("x`y"), code("a\nb")
    ('`a`', '``x`y``', '`a\\nb`')
    """
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    ticks = "`" * (1 + max((len(list(g)) for c, g in groupby(printable) if c == "`"), default=0))
    pad = " " if printable[:1] in ("`", "") or printable[-1:] == "`" else ""
    return f"{ticks}{pad}{printable}{pad}{ticks}"


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return the first `most` names as code spans, and the number of the others."""
    more = len(names) - most
    return ", ".join(map(code, names[:most])) + (f" and {more} more" if more > 0 else "")


TAIL = "tail.onnx"


def deploy_facts(conversion: Conversion, lists: Lists) -> DeployFacts:
    """Return the facts about an export; `lists` are its calibration samples as written."""
    name, split, feeds = conversion.name, conversion.split, conversion.feeds
    caffe = conversion.caffe
    kinds = ["calibration pictures" if f.picture else "calibration tensors" for f in feeds]
    files = [
        (f"{name}.prototxt", "the network"),
        (f"{name}.caffemodel", "its weights"),
        (f"{name}.cfg", "for the chip"),
        (f"{name}_sim.cfg", "for the functional simulator on a PC"),
        *((mean, "the mean of each channel, in the network's order") for mean in mean_files(feeds)),
        *(
            (listed, f"{kind}, one per line")
            for listed, kind in zip(lists.names, kinds, strict=True)
        ),
        (RECORD, "the model's tensor for each Caffe layer"),
        ("DEPLOY.md", "this page"),
    ]
    if split.tail is not None:
        files.insert(-1, (TAIL, "the part that the CPU computes"))
    return DeployFacts(
        title=split.head.name,
        name=name,
        feeds=feeds,
        inputs=[(caffe.inputs[f.input], caffe.shapes[caffe.inputs[f.input]]) for f in feeds],
        outputs=[_output(value, caffe) for value in split.head.outputs],
        unread=caffe.unread,
        precision=conversion.precision,
        weighted=sum(weight_of(node) is not None for node in split.head.nodes),
        keys=lists.keys,
        tail=[str(node.name) for node in split.tail.graph] if split.tail is not None else [],
        tail_inputs=_tail_inputs(split.tail),
        custom=sorted(split.custom),
        files=files,
    )


def run_facts(facts: DeployFacts, deployment: Deployment) -> dict[str, Any]:
    """Return the facts that run.json holds."""
    return {
        "nnie_version": NNIE_VERSION.of(deployment.versions),
        "compile_mode": facts.precision.compile_mode,
        "high_precision_layers": len(facts.precision.high),
        "raised_layers": list(facts.precision.raised),
        "tail_nodes": list(facts.tail),
        "custom_nodes": list(facts.custom),
        "calibration_samples": len(facts.keys),
        "picture_inputs": sum(feed.picture for feed in facts.feeds),
        "tensor_inputs": sum(not feed.picture for feed in facts.feeds),
    }


def _output(value: ir.Value, caffe: CaffeNet) -> tuple[str, str, Shape, Shape]:
    """Return an output's name, its blob, the blob's shape and the tensor's shape."""
    blob = caffe.tops[str(value.name)]
    shape = caffe.shapes[blob]
    own = list(value.shape) if value.shape is not None else []
    dims = [d if isinstance(d, int) else 1 for d in own[:1]]
    dims += [d if isinstance(d, int) else 0 for d in own[1:]]
    return str(value.name), blob, shape, tuple(dims) if prod(dims) == prod(shape) else shape


def _tail_inputs(tail: ir.Model | None) -> list[tuple[str, Shape]]:
    """Return the tail's inputs with their shapes, fixed by the cut; 0 for a dynamic length."""
    values = tail.graph.inputs if tail is not None else ()
    return [
        (str(v.name), tuple(d if isinstance(d, int) else 0 for d in v.shape or ())) for v in values
    ]

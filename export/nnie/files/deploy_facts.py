"""Tell what an export became: for DEPLOY.md and for run.json."""

__all__ = ["TAIL", "facts_of", "tell"]

from collections.abc import Sequence
from math import prod
from typing import Any

import onnx_ir as ir

from quant.export.caffe.convert import CaffeNet
from quant.export.caffe.network.shapes import Shape
from quant.export.nnie.files.cfg_values import means
from quant.export.nnie.files.feeds import Feed
from quant.export.nnie.files.nnie_story import Story
from quant.export.nnie.files.record import RECORD
from quant.export.nnie.files.sample_lists import Lists
from quant.export.nnie.graph.precision import Precision
from quant.export.nnie.graph.split import Split
from quant.graph.prepared_graph import weight_of
from quant.target.deployment import Deployment

TAIL = "tail.onnx"


def tell(
    split: Split,
    name: str,
    feeds: Sequence[Feed],
    caffe: CaffeNet,
    chosen: Precision,
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
        "nnie_version": deployment.nnie_version,
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

"""What an engineer carries to NNIE's mapper: network, configuration, means, calibration samples."""

__all__ = ["write"]

import re
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import onnx_ir as ir

from quant.deploy import Deployment
from quant.errors import UnsupportedError
from quant.export.caffe import CaffeNet, convert
from quant.export.caffe_schema import parse_prototxt
from quant.export.nnie_cfg import cfg_text
from quant.export.nnie_deploy import deploy_text
from quant.export.nnie_feeds import Feed, choose_feeds
from quant.export.nnie_lists import Lists, write_lists
from quant.export.nnie_net import Net, net_of
from quant.export.nnie_precision import Precision, precision_of
from quant.export.nnie_record import RECORD, Row, record_text
from quant.export.nnie_settings import settings
from quant.export.nnie_shapes import Shape, window
from quant.export.nnie_split import Split, divide
from quant.export.nnie_story import Story
from quant.export.nnie_whole import whole
from quant.graph import Graph, save_model, weight_of
from quant.plan import Plan
from quant.target import Exported

TAIL = "tail.onnx"
LONGEST_NAME = 60
"""Characters of the files' stem: `instruction_name` has room for 119 with what is around it."""


def write(graph: Graph, plan: Plan, folder: Path, deployment: Deployment) -> Exported:
    """Write all that `nnie_mapper_11` or `nnie_mapper_12` reads, and DEPLOY.md, which says how.

    `<name>.prototxt`, `<name>.caffemodel`, `<name>.cfg` for the chip and `<name>_sim.cfg` for the
    simulator on a PC, `mean.txt`, the calibration pictures and their list, and `tensors.csv`. With
    `deployment.allow_fallback` what NNIE cannot compute is cut off and written as `tail.onnx`.
    The folder has all of it or, when something raises, what it had before.

    Raises:
        UnsupportedError: Something has no form in NNIE's Caffe, or pictures cannot go in.
        InputError: There are no calibration samples, or the folder cannot be written.
    """
    feeds = choose_feeds(graph, deployment)
    split = divide(graph, {f.input: f.shape for f in feeds}, deployment.allow_fallback)
    feeds = [feed for feed in feeds if feed.input in split.inputs]
    chosen = precision_of(plan, {str(node.name) for node in split.head.nodes})
    caffe = _converted(split, feeds, chosen, plan)
    name = _stem(graph.name)
    cfgs = (f"{name}.cfg", f"{name}_sim.cfg")
    with whole(folder, last=cfgs, stale=[TAIL]) as scratch:
        lists = write_lists(scratch, feeds, deployment, caffe.planar)
        story = _story(split, name, feeds, caffe, chosen, lists)
        texts = {
            f"{name}.prototxt": caffe.prototxt,
            RECORD: record_text(_rows(split.head, caffe)),
            "DEPLOY.md": deploy_text(story, deployment),
            **_means(feeds),
        }
        for i, cfg in enumerate(cfgs):
            pairs = settings(name, chosen.compile_mode, feeds, lists.names, simulation=bool(i))
            texts[cfg] = cfg_text(pairs)
        for file, text in texts.items():
            (scratch / file).write_text(text, encoding="utf-8", newline="\n")
        (scratch / f"{name}.caffemodel").write_bytes(caffe.caffemodel)
        if split.tail is not None:
            save_model(split.tail, scratch / TAIL)
    files = (*(file for file, _ in story.files), *lists.pictures)
    return Exported(files=files, facts=_facts(story, deployment))


def _stem(name: str) -> str:
    """Return a name of ASCII letters, digits, _, . and - for files; "net" where nothing is left."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+|\.\.+", "_", name)
    return re.sub(r"_+", "_", plain).strip("_.-")[:LONGEST_NAME] or "net"


def _converted(split: Split, feeds: Sequence[Feed], chosen: Precision, plan: Plan) -> CaffeNet:
    """Convert, and see that pictures can go in."""
    graph = split.head
    nodes = {str(node.name) for node in graph.nodes}
    caffe = convert(
        graph,
        sizes={feed.input: feed.shape for feed in feeds},
        high=chosen.high,
        custom=split.custom,
        factors={f.input: f.norm.factors for f in feeds if f.norm.factors is not None},
        swapped={feed.input for feed in feeds if feed.swapped},
        shifts={name: shift for name, shift in plan.shifts.items() if name in nodes},
    )
    for feed in feeds:
        channels = caffe.shapes[caffe.inputs[feed.input]][1]
        if feed.picture and channels not in (1, 3):
            raise UnsupportedError(
                f"{graph.source or graph.name}, input '{feed.input}': pictures have their channels "
                f"in front on NNIE, saw layout NHWC and no Transpose 0,3,1,2 behind the input. "
                "Export the model with its channels first."
            )
    return caffe


def _means(feeds: Sequence[Feed]) -> dict[str, str]:
    """Return the mean file; all pictures have one preprocessing."""
    moved = [feed for feed in feeds if feed.norm.norm_type in (2, 5)]
    return {"mean.txt": "".join(f"{m!r}\n" for m in moved[0].means)} if moved else {}


def _rows(graph: Graph, caffe: CaffeNet) -> list[Row]:
    """Return a row for each Caffe layer."""
    makers = {layer: node for node, layer in caffe.layers.items()}
    tensors = {str(node.name): str(node.outputs[0].name) for node in graph.nodes}
    rows = []
    for site in _net(caffe).sites:
        node = makers.get(site.name, "")
        pooling = site.type == "Pooling" and not site.layer.pooling_param.global_pooling
        pads = window(site.layer.pooling_param, "pad", 0) if pooling else ()
        rows.append(
            Row(
                layer=site.name,
                type=site.type,
                top=str(site.layer.top[0]),
                shape=site.tops[0] or (),
                pads=" x ".join(map(str, pads)),
                tensor=tensors.get(node, ""),
                node=node,
            )
        )
    return rows


def _net(caffe: CaffeNet) -> Net:
    return net_of(parse_prototxt(caffe.prototxt, "prototxt"))


def _story(
    split: Split,
    name: str,
    feeds: Sequence[Feed],
    caffe: CaffeNet,
    chosen: Precision,
    lists: Lists,
) -> Story:
    kinds = ["calibration pictures" if f.picture else "calibration tensors" for f in feeds]
    files = [
        (f"{name}.prototxt", "the network"),
        (f"{name}.caffemodel", "its weights"),
        (f"{name}.cfg", "for the chip"),
        (f"{name}_sim.cfg", "for the functional simulator on a PC"),
        *((mean, "the mean of each channel, in the network's order") for mean in _means(feeds)),
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
        precision=chosen,
        weighted=sum(weight_of(node) is not None for node in split.head.nodes),
        keys=lists.keys,
        tail=[str(node.name) for node in split.tail.graph] if split.tail is not None else [],
        custom=sorted(split.custom),
        files=files,
    )


def _output(value: ir.Value, caffe: CaffeNet) -> tuple[str, str, Shape, Shape]:
    """Return a result's name, its blob, the blob's shape and the tensor's own."""
    blob = caffe.tops[str(value.name)]
    shape = caffe.shapes[blob]
    own = list(value.shape) if value.shape is not None else []
    dims = [d if isinstance(d, int) else 1 for d in own[:1]]
    dims += [d if isinstance(d, int) else 0 for d in own[1:]]
    return str(value.name), blob, shape, tuple(dims) if prod(dims) == prod(shape) else shape


def _facts(story: Story, deployment: Deployment) -> dict[str, Any]:
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

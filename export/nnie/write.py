"""Write the folder of an NNIE export: network, configuration, means and calibration samples."""

__all__ = ["write"]

import re
from collections.abc import Sequence
from pathlib import Path

from quant.common.errors import UnsupportedError
from quant.common.files import staged
from quant.export.caffe.build import CaffeOptions
from quant.export.caffe.convert import CaffeNet, convert
from quant.export.nnie.files.cfg_values import cfg_pairs, mean_files
from quant.export.nnie.files.deploy_facts import TAIL, Conversion, deploy_facts, run_facts
from quant.export.nnie.files.deploy_page import deploy_text
from quant.export.nnie.files.feeds import Feed, choose_feeds
from quant.export.nnie.files.mapper_cfg import cfg_text
from quant.export.nnie.files.record import RECORD, record_rows, record_text
from quant.export.nnie.files.sample_lists import write_lists
from quant.export.nnie.graph.precision import MapperPrecision, precision_of
from quant.export.nnie.graph.split import Split, split_graph
from quant.export.nnie.version import NNIE_VERSION
from quant.graph.prepared_graph import Graph, save_model
from quant.plan.tensor_plans import Plan
from quant.target.deployment import Deployment
from quant.target.table import Exported

STALE = (TAIL, "mean.txt", "images", "image_list.txt", "tensor_list.txt")
"""Files that an earlier export of another kind may have left."""

LONGEST_NAME = 60
"""Characters of the files' stem; `instruction_name`, which contains it, has room for 119."""


def write(graph: Graph, plan: Plan, folder: Path, deployment: Deployment) -> Exported:
    """Write the files that `nnie_mapper_11` or `nnie_mapper_12` reads, and DEPLOY.md.

    `<name>.prototxt`, `<name>.caffemodel`, `<name>.cfg` for the chip and `<name>_sim.cfg` for the
    simulator on a PC, `mean.txt`, the calibration pictures and their list, and `tensors.csv`. With
    `deployment.allow_fallback` the nodes that NNIE cannot compute are cut off and written as
    `tail.onnx`. The folder has all of the files or, when something raises, what it had before.

    Raises:
        UnsupportedError: A node has no form in NNIE's Caffe, or an input cannot take pictures.
        InputError: There are no calibration samples or no such NNIE, or the folder cannot be
            written.
    """
    NNIE_VERSION.of(deployment.versions)  # an unknown one is refused before anything is written
    conversion = _conversion(graph, plan, deployment)
    name, caffe, feeds = conversion.name, conversion.caffe, conversion.feeds
    cfgs = (f"{name}.cfg", f"{name}_sim.cfg")
    with staged(folder, last=cfgs, stale=STALE) as scratch:
        lists = write_lists(scratch, feeds, deployment, caffe.planar)
        facts = deploy_facts(conversion, lists)
        texts = {
            f"{name}.prototxt": caffe.prototxt,
            RECORD: record_text(record_rows(conversion.split.head, caffe)),
            "DEPLOY.md": deploy_text(facts, deployment),
            **mean_files(feeds),
        }
        mode = conversion.precision.compile_mode
        for cfg, simulation in zip(cfgs, (False, True), strict=True):
            pairs = cfg_pairs(name, mode, feeds, lists.names, simulation=simulation)
            texts[cfg] = cfg_text(pairs)
        for file, text in texts.items():
            (scratch / file).write_text(text, encoding="utf-8", newline="\n")
        (scratch / f"{name}.caffemodel").write_bytes(caffe.caffemodel)
        if conversion.split.tail is not None:
            save_model(conversion.split.tail, scratch / TAIL)
    files = (*(file for file, _ in facts.files), *lists.pictures)
    return Exported(files=files, facts=run_facts(facts, deployment))


def _conversion(graph: Graph, plan: Plan, deployment: Deployment) -> Conversion:
    """Return the graph as the mapper gets it: split, with its precisions, as a Caffe network."""
    feeds = choose_feeds(graph, deployment)
    sizes = {feed.input: feed.shape for feed in feeds}
    split = split_graph(graph, sizes, deployment.allow_fallback)
    precision = precision_of(plan, {str(node.name) for node in split.head.nodes} - split.custom)
    caffe = _caffe_net(split, feeds, precision, plan)
    return Conversion(
        name=_stem(graph.name),
        split=split,
        feeds=[feed for feed in feeds if feed.input in caffe.inputs],
        precision=precision,
        caffe=caffe,
    )


def _stem(name: str) -> str:
    """Return a name of ASCII letters, digits, _, . and - for files; "net" where nothing is left."""
    ascii_name = re.sub(r"[^A-Za-z0-9_.-]+|\.\.+", "_", name)
    return re.sub(r"_+", "_", ascii_name).strip("_.-")[:LONGEST_NAME] or "net"


def _caffe_net(
    split: Split, feeds: Sequence[Feed], precision: MapperPrecision, plan: Plan
) -> CaffeNet:
    """Convert the head, and check that its picture inputs have their channels first."""
    graph = split.head
    nodes = {str(node.name) for node in graph.nodes}
    caffe = convert(
        graph,
        CaffeOptions(
            sizes={feed.input: feed.shape for feed in feeds},
            high=precision.high,
            custom=split.custom,
            factors={f.input: f.norm.factors for f in feeds if f.norm.factors is not None},
            swapped={feed.input for feed in feeds if feed.swapped},
            shifts={name: shift for name, shift in plan.bias_shifts.items() if name in nodes},
        ),
    )
    for feed in feeds:
        blob = caffe.inputs.get(feed.input)
        if feed.picture and blob is not None and caffe.shapes[blob][1] not in (1, 3):
            raise UnsupportedError(
                f"{graph.source or graph.name}, input '{feed.input}': pictures have their channels "
                f"in front on NNIE, saw layout NHWC and no Transpose 0,3,1,2 behind the input. "
                "Export the model with its channels first."
            )
    return caffe

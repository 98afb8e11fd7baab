"""What an engineer carries to NNIE's mapper: network, configuration, means, calibration samples."""

__all__ = ["write"]

import re
from collections.abc import Sequence
from pathlib import Path

from quant.common.errors import UnsupportedError
from quant.common.files import staged
from quant.export.caffe.build import CaffeOptions
from quant.export.caffe.convert import CaffeNet, convert
from quant.export.nnie.files.cfg_values import means, settings
from quant.export.nnie.files.deploy_facts import TAIL, facts_of, tell
from quant.export.nnie.files.deploy_page import deploy_text
from quant.export.nnie.files.feeds import Feed, choose_feeds
from quant.export.nnie.files.mapper_cfg import cfg_text
from quant.export.nnie.files.record import RECORD, record_rows, record_text
from quant.export.nnie.files.sample_lists import write_lists
from quant.export.nnie.graph.precision import MapperPrecision, precision_of
from quant.export.nnie.graph.split import Split, divide
from quant.export.nnie.version import NNIE_VERSION
from quant.graph.prepared_graph import Graph, save_model
from quant.plan.tensor_plans import Plan
from quant.target.deployment import Deployment
from quant.target.table import Exported

STALE = (TAIL, "mean.txt", "images", "image_list.txt", "tensor_list.txt")
"""What an export of another kind may have left."""

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
        InputError: There are no calibration samples or no such NNIE, or the folder cannot be
            written.
    """
    NNIE_VERSION.of(deployment.versions)  # an unknown one is refused before anything is written
    feeds = choose_feeds(graph, deployment)
    split = divide(graph, {f.input: f.shape for f in feeds}, deployment.allow_fallback)
    chosen = precision_of(plan, {str(node.name) for node in split.head.nodes} - split.custom)
    caffe = _converted(split, feeds, chosen, plan)
    feeds = [feed for feed in feeds if feed.input in caffe.inputs]
    name = _stem(graph.name)
    cfgs = (f"{name}.cfg", f"{name}_sim.cfg")
    with staged(folder, last=cfgs, stale=STALE) as scratch:
        lists = write_lists(scratch, feeds, deployment, caffe.planar)
        story = tell(split, name, feeds, caffe, chosen, lists)
        texts = {
            f"{name}.prototxt": caffe.prototxt,
            RECORD: record_text(record_rows(split.head, caffe)),
            "DEPLOY.md": deploy_text(story, deployment),
            **means(feeds),
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
    return Exported(files=files, facts=facts_of(story, deployment))


def _stem(name: str) -> str:
    """Return a name of ASCII letters, digits, _, . and - for files; "net" where nothing is left."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+|\.\.+", "_", name)
    return re.sub(r"_+", "_", plain).strip("_.-")[:LONGEST_NAME] or "net"


def _converted(
    split: Split, feeds: Sequence[Feed], chosen: MapperPrecision, plan: Plan
) -> CaffeNet:
    """Convert, and see that pictures can go in."""
    graph = split.head
    nodes = {str(node.name) for node in graph.nodes}
    caffe = convert(
        graph,
        CaffeOptions(
            sizes={feed.input: feed.shape for feed in feeds},
            high=chosen.high,
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

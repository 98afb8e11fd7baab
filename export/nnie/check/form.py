"""Rules 1, 2, 4, 5, 6 and 24: the form of a prototxt, its layers' types, names and inputs."""

__all__ = ["check_form", "check_text"]

import re
from collections import Counter
from collections.abc import Iterator

from quant.common.errors import few
from quant.export.nnie.check.prototxt import Foreign
from quant.export.nnie.check.rules import finding
from quant.export.nnie.graph.mapper_net import Net, Site
from quant.target.finding import Finding

_KNOWN = (
    "AbsVal ArgMax BNLL BatchNorm Bias CReLU Concat Convolution Crop Custom Deconvolution "
    "DepthwiseConv ELU Eltwise Exp Flatten InnerProduct Input Interp LRN LSTM Log MVN MatMul "
    "Normalize PReLU PSROIPooling PassThrough Permute Pooling Power Proposal RNN ROIPooling RReLU "
    "ReLU Reduction Reshape SPP Scale Sigmoid Slice Softmax Split TanH Threshold Tile Upsample"
)
KNOWN = frozenset(_KNOWN.split())
"""Caffe 1.0's layers for inference and HiSilicon's extensions: HiSVP guide, by public notes."""

_TRAINING = (
    "Accuracy ContrastiveLoss Data Dropout DummyData EuclideanLoss HDF5Data HDF5Output HingeLoss "
    "ImageData InfogainLoss MemoryData MultinomialLogisticLoss SigmoidCrossEntropyLoss Silence "
    "SoftmaxWithLoss WindowData"
)
TRAINING = frozenset(_TRAINING.split())
"""Caffe 1.0's layers that inference drops."""

INSTEAD = {
    "ReLU6": "Export a ReLU, or let it stand and add _cpu to the name.",
}

NAME_BYTES = 31
"""Of an input's or output's name: HiSVP_API's field has 32 with the closing zero."""

PLAIN_NAME = re.compile(r"[A-Za-z0-9_.\-]+")


def check_text(place: str, read: Foreign) -> list[Finding]:
    """Return what is wrong with the text itself: rules 1 (`layers`) and 6."""
    found = []
    if read.broken is not None:
        line, said = read.broken
        found.append(
            finding(
                6,
                "error",
                f"{place}:{line}",
                f"text that stops being a prototxt: {said}",
                "protobuf text in Caffe's fields",
                "Mend the line, or give the prototxt itself.",
            )
        )
    for one in read.unknown:
        where = f"{place}:{one.line}"
        if (one.message, one.field) == ("NetParameter", "layers"):
            found.append(
                finding(
                    1,
                    "error",
                    where,
                    "'layers', the form before Caffe 1.0",
                    "'layer' with a type in quotes",
                    "Convert the file with Caffe's upgrade_net_proto_text.",
                )
            )
            continue
        what = f"'{one.field}' in {one.message}"
        if one.field in ("ceil_mode", "round_mode"):
            mend = "Remove it: the mapper always rounds up, so the model must agree with that."
        else:
            mend = "Remove it, or make the layer Custom."
        wanted = "a field that NNIE's Caffe dialect has"
        found.append(finding(6, "error", where, what, wanted, mend))
    return found


def check_form(place: str, net: Net) -> list[Finding]:
    """Return what breaks rules 1, 2, 4, 5 and 24."""
    return [
        *_types(net),
        *_inputs(place, net),
        *_names(place, net),
        *_spelling(place, net),
        *_dimensions(net),
    ]


def _types(net: Net) -> Iterator[Finding]:
    for site in net.sites:
        if site.type in TRAINING:
            saw, wanted = f"the training layer {site.type}", "layers of inference only"
            mend = "Remove it from the deployed prototxt."
            yield finding(24, "error", site.place, saw, wanted, mend, site.name)
        elif site.type not in KNOWN and not site.name.endswith("_cpu"):
            mend = INSTEAD.get(site.type, "Make it Custom, or add _cpu to its name.")
            wanted = "a type that NNIE computes, Custom, Proposal or a name ending in '_cpu'"
            yield finding(1, "error", site.place, f"type '{site.type}'", wanted, mend, site.name)


def _inputs(place: str, net: Net) -> Iterator[Finding]:
    wanted = "dims 1, C, H, W, or 1, C for a vector"
    if net.proto.input_dim:
        mend = "Write input_shape { dim: ... } in its place."
        yield finding(2, "error", place, "the old 'input_dim'", "'input_shape'", mend)
    if not net.inputs:
        yield finding(2, "error", place, "no input", wanted, "Add an input and its input_shape.")
    for one in net.inputs:
        where = f"input '{one.name}'"
        if one.shape is None:
            yield finding(2, "error", where, "no shape", wanted, "Add its input_shape.")
        elif len(one.shape) not in (2, 4) or one.shape[0] != 1 or min(one.shape) < 1:
            saw = f"dims {list(one.shape)}"
            mend = "Write 1 as the first dim: the mapper sets the batch itself."
            yield finding(2, "error", where, saw, wanted, mend)


def _names(place: str, net: Net) -> Iterator[Finding]:
    for name, count in Counter(str(x.name) for x in net.proto.layer).items():
        if count > 1 or not name:
            saw, mend = f"{count} layers of that name", "Rename them, in the caffemodel as well."
            yield finding(4, "error", f"layer '{name}'", saw, "a name for each", mend, name)
    for site in net.sites:
        for name, maker in zip(site.layer.bottom, site.makers, strict=True):
            if maker is None:
                saw = f"the bottom '{name}', which no layer before it makes"
                mend = "Mend the bottom's name, or move the layer."
                wanted = "a blob that is made before"
                yield finding(4, "error", site.place, saw, wanted, mend, site.name)
    for one in net.inputs:
        if not one.readers:
            saw, mend = "no layer that reads it", "Remove the input."
            yield finding(4, "error", f"input '{one.name}'", saw, "a reader", mend)
    yield from _twice(net)


def _twice(net: Net) -> Iterator[Finding]:
    """Find tops that overwrite a blob without reading it."""
    made = {one.name for one in net.inputs}
    for site in net.sites:
        for top in site.layer.top:
            if top in made and top not in site.layer.bottom:
                saw, mend = f"the top '{top}' a second time", "Rename this top and its readers."
                yield finding(4, "error", site.place, saw, "a new top", mend, site.name)
            made.add(str(top))


def _spelling(place: str, net: Net) -> Iterator[Finding]:
    names = [str(n) for x in net.proto.layer for n in (x.name, *x.bottom, *x.top)]
    names += [one.name for one in net.inputs]
    if odd := sorted({n for n in names if n and not PLAIN_NAME.fullmatch(n)}):
        saw = f"{len(odd)} names with other characters: {few(odd)}"
        mend = "Rename them, in the caffemodel as well."
        yield finding(5, "warning", place, saw, "ASCII letters, digits, _, . and -", mend)
    for name in [one.name for one in net.inputs] + _outputs(net.sites):
        if len(name.encode()) > NAME_BYTES:
            saw = f"{len(name.encode())} bytes in the name of an input or output"
            wanted = f"{NAME_BYTES} at most, for the board's API cuts it"
            yield finding(5, "warning", f"blob '{name}'", saw, wanted, "Shorten it.")


def _outputs(sites: list[Site]) -> list[str]:
    """Return the tops that nobody reads, and those that are to be reported."""
    return [
        str(top)
        for site in sites
        for top, readers in zip(site.layer.top, site.readers, strict=True)
        if not readers or str(top).endswith("_report")
    ]


def _dimensions(net: Net) -> Iterator[Finding]:
    for site in net.sites:
        for top, shape in zip(site.layer.top, site.tops, strict=True):
            if shape is not None and len(shape) > 4:
                saw = f"the top '{top}' of {len(shape)} dims"
                mend = "Cut the network before it, and go on with the CPU."
                yield finding(24, "error", site.place, saw, "4 at most", mend, site.name)

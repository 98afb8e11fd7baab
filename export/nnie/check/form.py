"""Check a prototxt's text, layer types, names and inputs: rules 1, 2, 4, 5, 6 and 24."""

__all__ = ["check_form", "check_text"]

import re
from collections import Counter
from collections.abc import Iterator

from quant.common.errors import few
from quant.export.nnie.check.prototxt import ParsedPrototxt
from quant.export.nnie.check.rules import finding
from quant.export.nnie.graph.mapper_net import MapperLayer, MapperNet
from quant.target.finding import Finding

_KNOWN = (
    "AbsVal ArgMax BNLL BatchNorm Bias CReLU Concat Convolution Crop Custom Deconvolution "
    "DepthwiseConv ELU Eltwise Exp Flatten InnerProduct Input Interp LRN LSTM Log MVN MatMul "
    "Normalize PReLU PSROIPooling PassThrough Permute Pooling Power Proposal RNN ROIPooling RReLU "
    "ReLU Reduction Reshape SPP Scale Sigmoid Slice Softmax Split TanH Threshold Tile Upsample"
)
KNOWN_TYPES = frozenset(_KNOWN.split())
"""Caffe 1.0's layers for inference and HiSilicon's extensions: HiSVP guide, by public notes."""

_TRAINING = (
    "Accuracy ContrastiveLoss Data Dropout DummyData EuclideanLoss HDF5Data HDF5Output HingeLoss "
    "ImageData InfogainLoss MemoryData MultinomialLogisticLoss SigmoidCrossEntropyLoss Silence "
    "SoftmaxWithLoss WindowData"
)
TRAINING_TYPES = frozenset(_TRAINING.split())
"""Caffe 1.0's layers that inference drops."""

INSTEAD = {
    "ReLU6": "Export a ReLU, or keep it and add _cpu to its name.",
}

NAME_BYTES = 31
"""Bytes of an input's or output's name: HiSVP_API's field has 32, the closing zero included."""

SAFE_NAME = re.compile(r"[A-Za-z0-9_.\-]+")


def check_text(place: str, prototxt: ParsedPrototxt) -> list[Finding]:
    """Return the findings of rules 1 (`layers`) and 6 on the text itself."""
    findings = []
    if prototxt.broken is not None:
        line, reason = prototxt.broken
        findings.append(
            finding(
                6,
                "error",
                f"{place}:{line}",
                saw=f"text that stops being a prototxt: {reason}",
                wanted="protobuf text in Caffe's fields",
                mend="Mend the line, or give the prototxt itself.",
            )
        )
    for unknown in prototxt.unknown:
        where = f"{place}:{unknown.line}"
        if (unknown.message, unknown.field) == ("NetParameter", "layers"):
            findings.append(
                finding(
                    1,
                    "error",
                    where,
                    saw="'layers', the form before Caffe 1.0",
                    wanted="'layer' with a type in quotes",
                    mend="Convert the file with Caffe's upgrade_net_proto_text.",
                )
            )
            continue
        saw = f"'{unknown.field}' in {unknown.message}"
        if unknown.field in ("ceil_mode", "round_mode"):
            mend = "Remove it: the mapper always rounds up, so the model must agree with that."
        else:
            mend = "Remove it, or make the layer Custom."
        wanted = "a field that NNIE's Caffe dialect has"
        findings.append(finding(6, "error", where, saw=saw, wanted=wanted, mend=mend))
    return findings


def check_form(place: str, net: MapperNet) -> list[Finding]:
    """Return the findings of rules 1, 2, 4, 5 and 24."""
    return [
        *_types(net),
        *_inputs(place, net),
        *_names(place, net),
        *_spelling(place, net),
        *_dimensions(net),
    ]


def _types(net: MapperNet) -> Iterator[Finding]:
    for layer in net.layers:
        if layer.type in TRAINING_TYPES:
            saw, wanted = f"the training layer {layer.type}", "layers of inference only"
            mend = "Remove it from the deployed prototxt."
            yield finding(
                24, "error", layer.place, saw=saw, wanted=wanted, mend=mend, layer=layer.name
            )
        elif layer.type not in KNOWN_TYPES and not layer.name.endswith("_cpu"):
            mend = INSTEAD.get(layer.type, "Make it Custom, or add _cpu to its name.")
            wanted = "a type that NNIE computes, Custom, Proposal or a name ending in '_cpu'"
            yield finding(
                1,
                "error",
                layer.place,
                saw=f"type '{layer.type}'",
                wanted=wanted,
                mend=mend,
                layer=layer.name,
            )


def _inputs(place: str, net: MapperNet) -> Iterator[Finding]:
    wanted = "dims 1, C, H, W, or 1, C for a vector"
    if net.proto.input_dim:
        mend = "Write input_shape { dim: ... } in its place."
        yield finding(
            2, "error", place, saw="the deprecated 'input_dim'", wanted="'input_shape'", mend=mend
        )
    if not net.inputs:
        yield finding(
            2,
            "error",
            place,
            saw="no input",
            wanted=wanted,
            mend="Add an input and its input_shape.",
        )
    for network_input in net.inputs:
        where = f"input '{network_input.name}'"
        if network_input.shape is None:
            yield finding(
                2, "error", where, saw="no shape", wanted=wanted, mend="Add its input_shape."
            )
        elif (
            len(network_input.shape) not in (2, 4)
            or network_input.shape[0] != 1
            or min(network_input.shape) < 1
        ):
            saw = f"dims {list(network_input.shape)}"
            mend = "Write 1 as the first dim: the mapper sets the batch itself."
            yield finding(2, "error", where, saw=saw, wanted=wanted, mend=mend)


def _names(place: str, net: MapperNet) -> Iterator[Finding]:
    for name, count in Counter(str(x.name) for x in net.proto.layer).items():
        if count > 1 or not name:
            saw, mend = f"{count} layers of that name", "Rename them, in the caffemodel as well."
            yield finding(
                4,
                "error",
                f"layer '{name}'",
                saw=saw,
                wanted="a name for each",
                mend=mend,
                layer=name,
            )
    for layer in net.layers:
        for name, producer in zip(layer.proto.bottom, layer.producers, strict=True):
            if producer is None:
                saw = f"the bottom '{name}', which no earlier layer writes"
                mend = "Mend the bottom's name, or move the layer."
                wanted = "a blob of an earlier layer"
                yield finding(
                    4, "error", layer.place, saw=saw, wanted=wanted, mend=mend, layer=layer.name
                )
    for network_input in net.inputs:
        if not network_input.readers:
            saw, mend = "no reader", "Remove the input."
            yield finding(
                4, "error", f"input '{network_input.name}'", saw=saw, wanted="a reader", mend=mend
            )
    yield from _overwritten(net)


def _overwritten(net: MapperNet) -> Iterator[Finding]:
    """Yield the tops that overwrite a blob without reading it."""
    written = {network_input.name for network_input in net.inputs}
    for layer in net.layers:
        for top in layer.proto.top:
            if top in written and top not in layer.proto.bottom:
                saw, mend = f"the top '{top}' a second time", "Rename this top and its readers."
                yield finding(
                    4,
                    "error",
                    layer.place,
                    saw=saw,
                    wanted="a new top",
                    mend=mend,
                    layer=layer.name,
                )
            written.add(str(top))


def _spelling(place: str, net: MapperNet) -> Iterator[Finding]:
    names = [str(n) for x in net.proto.layer for n in (x.name, *x.bottom, *x.top)]
    names += [network_input.name for network_input in net.inputs]
    if unusual := sorted({n for n in names if n and not SAFE_NAME.fullmatch(n)}):
        saw = f"{len(unusual)} names with other characters: {few(unusual)}"
        mend = "Rename them, in the caffemodel as well."
        yield finding(
            5, "warning", place, saw=saw, wanted="ASCII letters, digits, _, . and -", mend=mend
        )
    for name in [network_input.name for network_input in net.inputs] + _outputs(net.layers):
        if len(name.encode()) > NAME_BYTES:
            saw = f"{len(name.encode())} bytes in the name of an input or output"
            wanted = f"{NAME_BYTES} at most, for the board's API cuts it"
            yield finding(
                5, "warning", f"blob '{name}'", saw=saw, wanted=wanted, mend="Shorten it."
            )


def _outputs(sites: list[MapperLayer]) -> list[str]:
    """Return the tops without a reader, and those with the suffix _report."""
    return [
        str(top)
        for layer in sites
        for top, readers in zip(layer.proto.top, layer.readers, strict=True)
        if not readers or str(top).endswith("_report")
    ]


def _dimensions(net: MapperNet) -> Iterator[Finding]:
    for layer in net.layers:
        for top, shape in zip(layer.proto.top, layer.tops, strict=True):
            if shape is not None and len(shape) > 4:
                saw = f"the top '{top}' of {len(shape)} dims"
                mend = "Cut the network before it, and compute the rest on the CPU."
                yield finding(
                    24,
                    "error",
                    layer.place,
                    saw=saw,
                    wanted="4 at most",
                    mend=mend,
                    layer=layer.name,
                )

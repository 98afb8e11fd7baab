"""Rule 23, and rule 10 for weights: the caffemodel's blobs."""

from pathlib import Path

import numpy as np

from quant.export.caffe.network.files import blob_of, caffemodel_bytes, parse_caffemodel
from quant.export.nnie.check.run_rules import check_export
from tests.export.nnie.check.broken_export import NOTHING, add, broken, edit, says, weigh


def test_rule_10_a_weight_of_more_than_4096(export: Path) -> None:
    def widen(layers: dict[str, object]) -> None:
        for name, shape in (("conv2", (5000, 16, 3, 3)),):
            layer = layers[name]
            del layer.blobs[:]  # type: ignore[attr-defined]
            blobs = [blob_of(np.zeros(shape)), blob_of(np.zeros(5000))]
            layer.blobs.extend(blobs)  # type: ignore[attr-defined]

    weigh(export, widen)
    text = (export / "net.prototxt").read_text(encoding="utf-8")
    start = text.index('name: "conv2"')
    text = text[:start] + text[start:].replace("num_output: 16", "num_output: 5000", 1)
    (export / "net.prototxt").write_text(text, encoding="utf-8")

    findings = [f for f in check_export(export, NOTHING) if f.rule == "nnie-10"]
    assert ("layer 'conv2', blob 0", "weights of [5000, 16, 3, 3]") in [
        (f.place, f.saw) for f in findings
    ]


def test_rule_23_a_layer_without_weights(export: Path) -> None:
    weigh(export, lambda layers: setattr(layers["conv2"], "name", "conv2_hp"))

    says(export, 23, "error", "layer 'conv2'", "no layer of that name in the caffemodel")


def test_rule_23_weights_of_another_shape(export: Path) -> None:
    edit(export, "net.prototxt", "num_output: 10", "num_output: 11")

    findings = [(f.place, f.saw, f.wanted) for f in check_export(export, NOTHING)]
    assert (
        "layer 'fc', blob 0",
        "shape [10, 256]",
        "[11, 256], as the prototxt says",
    ) in findings


def test_rule_23_weights_that_are_not_finite(export: Path) -> None:
    def spoil(layers: dict[str, object]) -> None:
        data = layers["conv2"].blobs[1].data  # type: ignore[attr-defined]
        data[0], data[1] = float("nan"), float("inf")

    weigh(export, spoil)

    says(export, 23, "error", "layer 'conv2', blob 1", "2 of 16 numbers that are not finite")


def test_rule_23_numbers_that_are_missing(export: Path) -> None:
    weigh(export, lambda layers: layers["conv2"].blobs[1].data.pop())

    says(export, 23, "error", "layer 'conv2', blob 1", "15 numbers")


def test_rule_23_the_scale_factor_of_batchnorm(export: Path) -> None:
    """Caffe divides by it, and zero makes it forget mean and variance."""
    add(export, 'layer { name: "bn" type: "BatchNorm" bottom: "add" top: "bn" }')
    path = export / "net.caffemodel"
    net = parse_caffemodel(path.read_bytes(), path.name)
    layer = net.layer.add(name="bn", type="BatchNorm")
    layer.blobs.extend(blob_of(np.ones(n)) for n in (16, 16, 1))
    for factor, severity in ((0.0, "error"), (999.5, "warning")):
        layer.blobs[2].data[0] = factor
        path.write_bytes(caffemodel_bytes(net))

        saw = f"a scale factor of {factor:g}"
        says(export, 23, severity, "layer 'bn', blob 2", saw)


def test_rule_23_a_file_that_is_no_caffemodel(export: Path) -> None:
    (export / "net.caffemodel").write_bytes(b"\xff\xff")

    finding = broken(export, 23)
    assert finding.place == "net.caffemodel"
    assert finding.saw.startswith("a caffemodel must be a binary NetParameter")

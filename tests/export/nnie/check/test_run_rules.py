"""Every rule speaks when a good export is broken in just that way, and is silent before."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from quant.common.errors import InputError
from quant.export.caffe.network.files import (
    blob_bytes,
    blob_of,
    caffemodel_bytes,
    parse_caffemodel,
)
from quant.export.nnie.check.run_rules import RULES, check_export
from quant.preprocess.image_to_tensor import Preprocess
from quant.target.deployment import Deployment
from quant.target.finding import Finding, errors
from tests.export.nnie.exports import written
from tests.models import model, weights

NOTHING = Deployment()


def check_net() -> onnx.ModelProto:
    """Return a network with a kind of layer for most rules."""
    return model(
        """g (float[N,3,16,16] input) => (float[N,10] output) {
            [conv1] a = Conv<pads=[1,1,1,1]>(input, w1, b1)
            [relu1] b = Relu(a)
            [pool1] c = MaxPool<kernel_shape=[2,2], strides=[2,2]>(b)
            [conv2] d = Conv<pads=[1,1,1,1]>(c, w2, b2)
            [add] e = Add(c, d)
            [pool2] f = AveragePool<kernel_shape=[2,2], strides=[2,2]>(e)
            [flat] h = Flatten(f)
            [fc] output = Gemm<transB=1>(h, w3, b3)
        }""",
        weights(0, w1=(16, 3, 3, 3), b1=(16,), w2=(16, 16, 3, 3), b2=(16,), w3=(10, 256), b3=(10,)),
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "nnie"
    preprocess = Preprocess(size=(16, 16), mean=(1.0, 2.0, 3.0), std=(4.0,))
    written(check_net(), folder, preprocess, high=("conv1",))
    return folder


@pytest.fixture
def export(good: Path, tmp_path: Path) -> Path:
    """Return a copy of the good export, to break."""
    return Path(shutil.copytree(good, tmp_path / "export"))


def edit(folder: Path, name: str, old: str, new: str) -> None:
    """Replace text of a file that must be there."""
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text, text
    (folder / name).write_text(text.replace(old, new), encoding="utf-8")


def add(folder: Path, text: str) -> None:
    """Append layers to the prototxt, and lead the network's output on through them."""
    with (folder / "net.prototxt").open("a", encoding="utf-8") as file:
        file.write(text)


def weigh(folder: Path, change: Callable[..., None]) -> None:
    """Change the caffemodel's layers, by name."""
    path = folder / "net.caffemodel"
    net = parse_caffemodel(path.read_bytes(), path.name)
    change({layer.name: layer for layer in net.layer})
    path.write_bytes(caffemodel_bytes(net))


def broken(folder: Path, rule: int, severity: str = "error") -> Finding:
    """Return the one finding of this rule and severity."""
    found = [f for f in check_export(folder, NOTHING) if f.rule == f"nnie-{rule}"]
    (one,) = [f for f in found if f.severity == severity]
    assert one.mend.endswith(".")
    return one


def says(folder: Path, rule: int, severity: str, place: str, saw: str) -> None:
    one = broken(folder, rule, severity)

    assert (one.place, one.saw) == (place, saw)


def test_the_good_export_breaks_no_rule(good: Path) -> None:
    """Only what is slow is told of it."""
    found = check_export(good, NOTHING)

    assert errors(found) == []
    assert {f.rule for f in found} == {"nnie-30"}


def test_there_are_thirty_rules() -> None:
    assert list(RULES) == [f"nnie-{i}" for i in range(1, 31)]
    assert all(10 < len(text) <= 100 and "\n" not in text for text in RULES.values())


def test_rule_1_a_type_that_nnie_does_not_compute(export: Path) -> None:
    edit(export, "net.prototxt", 'type: "ReLU"', 'type: "Swish"')

    says(export, 1, "error", "layer 'relu1'", "type 'Swish'")
    edit(export, "net.prototxt", 'name: "relu1"', 'name: "relu1_cpu"')
    assert "nnie-1" not in {f.rule for f in check_export(export, NOTHING)}


def test_rule_1_layers_of_before_caffe_1(export: Path) -> None:
    edit(export, "net.prototxt", 'layer {\n  name: "relu1"', 'layers {\n  name: "relu1"')

    one = broken(export, 1)
    assert one.place.startswith("net.prototxt:")
    assert one.saw == "'layers', the form before Caffe 1.0"


def test_rule_2_an_input_of_two_pictures(export: Path) -> None:
    edit(export, "net.prototxt", "dim: 1\n      dim: 3", "dim: 2\n      dim: 3")

    says(export, 2, "error", "input 'input'", "dims [2, 3, 16, 16]")


def test_rule_2_the_old_input_dim(export: Path) -> None:
    text = (export / "net.prototxt").read_text(encoding="utf-8")
    start, end = text.index("layer {"), text.index("layer {", 20)
    old = 'input: "input" input_dim: 1 input_dim: 3 input_dim: 16 input_dim: 16\n'
    (export / "net.prototxt").write_text(text[:start] + old + text[end:], encoding="utf-8")

    says(export, 2, "error", "net.prototxt", "the old 'input_dim'")


def test_rule_3_a_picture_of_five_channels(export: Path) -> None:
    edit(export, "net.prototxt", "dim: 3", "dim: 5")

    says(export, 3, "error", "input 'input'", "5 channels with image_type 1")


def test_rule_3_a_picture_of_seven_rows(export: Path) -> None:
    edit(export, "net.prototxt", "dim: 16\n      dim: 16", "dim: 7\n      dim: 16")

    says(export, 3, "error", "input 'input'", "7 rows and 16 columns")


def test_rule_3_yuv_has_three_channels(export: Path) -> None:
    edit(export, "net.prototxt", "dim: 3", "dim: 1")
    assert "nnie-3" not in {f.rule for f in check_export(export, NOTHING)}
    edit(export, "net.cfg", "[image_type] 1", "[image_type] 3")

    says(export, 3, "error", "input 'input'", "1 channels with image_type 3")


def test_rule_4_a_name_twice(export: Path) -> None:
    edit(export, "net.prototxt", 'name: "conv2"', 'name: "add"')

    says(export, 4, "error", "layer 'add'", "2 layers of that name")


def test_rule_4_a_bottom_that_nobody_makes(export: Path) -> None:
    edit(export, "net.prototxt", 'bottom: "add"', 'bottom: "gone"')

    saw = "the bottom 'gone', which no layer before it makes"
    says(export, 4, "error", "layer 'pool2'", saw)


def test_rule_4_an_input_that_nobody_reads(export: Path) -> None:
    edit(export, "net.prototxt", 'name: "net"', 'name: "net" input: "x" input_shape { dim: 1 }')

    says(export, 4, "error", "input 'x'", "no layer that reads it")


def test_rule_4_a_top_twice(export: Path) -> None:
    for end in ("top", "bottom"):
        edit(export, "net.prototxt", f'{end}: "pool2"', f'{end}: "pool1"')

    says(export, 4, "error", "layer 'pool2'", "the top 'pool1' a second time")


def test_rule_5_names_that_are_not_plain_ascii(export: Path) -> None:
    edit(export, "net.prototxt", '"conv2"', '"conv 2/é"')

    says(export, 5, "warning", "net.prototxt", "1 names with other characters: 'conv 2/é'")


def test_rule_5_an_output_whose_name_is_too_long(export: Path) -> None:
    edit(export, "net.prototxt", 'top: "output"', f'top: "{"o" * 32}"')

    saw = "32 bytes in the name of an input or output"
    says(export, 5, "warning", f"blob '{'o' * 32}'", saw)


def test_rule_6_ceil_mode(export: Path) -> None:
    edit(export, "net.prototxt", "pool: AVE", "pool: AVE ceil_mode: true")

    assert broken(export, 6).saw == "'ceil_mode' in PoolingParameter"
    assert broken(export, 6).place.startswith("net.prototxt:")


def test_rule_6_every_unknown_field_and_the_other_rules_go_on(export: Path) -> None:
    edit(export, "net.prototxt", 'type: "ReLU"', 'type: "Swish" swish_param { beta: 1 } x: 2')

    found = check_export(export, NOTHING)
    assert [f.saw for f in found if f.rule == "nnie-6"] == [
        "'swish_param' in LayerParameter",
        "'x' in LayerParameter",
    ]
    assert broken(export, 1).saw == "type 'Swish'"


def test_rule_6_text_that_is_no_prototxt_is_one_finding(export: Path) -> None:
    (export / "net.prototxt").write_text("layer { name: 3 }", encoding="utf-8")

    (one,) = check_export(export, NOTHING)
    assert (one.rule, one.severity, one.place) == ("nnie-6", "error", "net.prototxt:1")


def test_rule_7_a_pool_of_another_shape_than_the_source(export: Path) -> None:
    """What follows from it is not told again."""
    edit(export, "net.prototxt", "pool: MAX", "pool: MAX pad: 1")

    says(export, 7, "error", "layer 'pool1'", "1x16x9x9")
    one = broken(export, 7)
    assert one.wanted == "1x16x8x8, as in the source model"
    assert one.layer == "pool1"


def test_rule_7_without_the_record_a_pool_that_rounds_up_is_a_warning(export: Path) -> None:
    (export / "tensors.csv").unlink()
    edit(export, "net.prototxt", "kernel_size: 2\n    stride: 2", "kernel_size: 3 stride: 2")

    found = [f for f in check_export(export, NOTHING) if f.rule == "nnie-7"]
    assert [(f.severity, f.saw) for f in found] == [
        ("warning", "8x8 by rounding up, 7x7 by rounding down"),
        ("warning", "4x4 by rounding up, 3x3 by rounding down"),
    ]


def test_rule_8_an_average_that_counts_padding(export: Path) -> None:
    edit(export, "net.prototxt", "pool: AVE", "pool: AVE pad: 1")

    saw = "an average that counts 1 x 1 padding"
    says(export, 8, "error", "layer 'pool2'", saw)
    (export / "tensors.csv").unlink()
    says(export, 8, "warning", "layer 'pool2'", saw)


@pytest.mark.parametrize(
    ("old", "new", "saw"),
    [
        ("pad: 1\n    kernel_size: 3", "pad: 256 kernel_size: 3", "pad 256 x 256"),
        ("pad: 1\n    kernel_size: 3", "kernel_h: 3 kernel_w: 256", "kernel 3 x 256"),
        ("pad: 1\n    kernel_size: 3", "kernel_size: 3 dilation: 300", "dilation 300 x 300"),
        ("pad: 1\n    kernel_size: 3", "kernel_size: 3 stride: 0", "stride 0 x 0"),
    ],
)
def test_rule_9_windows_have_limits(export: Path, old: str, new: str, saw: str) -> None:
    edit(export, "net.prototxt", f"num_output: 16\n    {old}", f"num_output: 16 {new}")

    found = [f for f in check_export(export, NOTHING) if f.rule == "nnie-9"]
    assert {(f.severity, f.saw) for f in found} == {("error", saw)}
    assert [f.place for f in found] == ["layer 'conv1_hp'", "layer 'conv2'"]


def test_rule_10_more_than_4096_channels(export: Path) -> None:
    edit(export, "net.prototxt", "num_output: 10", "num_output: 5000")

    says(export, 10, "error", "layer 'fc'", "the top 'output' of [1, 5000]")


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

    found = [f for f in check_export(export, NOTHING) if f.rule == "nnie-10"]
    assert ("layer 'conv2', blob 0", "weights of [5000, 16, 3, 3]") in [
        (f.place, f.saw) for f in found
    ]


def test_rule_10_a_dense_layer_of_many_inputs_is_a_warning(export: Path) -> None:
    edit(export, "net.prototxt", "dim: 16\n      dim: 16", "dim: 128\n      dim: 128")

    says(export, 10, "warning", "layer 'fc'", "16384 inputs of an InnerProduct")


def test_rule_11_a_group_that_does_not_divide(export: Path) -> None:
    edit(
        export, "net.prototxt", 'bottom: "pool1"\n  top: "conv2"\n', 'bottom: "pool1" top: "conv2"'
    )
    text = (export / "net.prototxt").read_text(encoding="utf-8")
    head, tail = text.split('top: "conv2"', 1)
    tail = tail.replace("num_output: 16", "num_output: 16 group: 3", 1)
    (export / "net.prototxt").write_text(f'{head}top: "conv2"{tail}', encoding="utf-8")

    saw = "group 3 of 16 input and 16 output channels"
    says(export, 11, "error", "layer 'conv2'", saw)


def test_rule_11_depthwise_in_8_bit(export: Path) -> None:
    add(
        export,
        """layer { name: "dw" type: "Convolution" bottom: "add" top: "dw"
        convolution_param { num_output: 16 group: 16 kernel_size: 3 bias_term: false } }""",
    )

    says(export, 11, "warning", "layer 'dw'", "a depthwise convolution of 16 channels in 8 bit")
    edit(export, "net.prototxt", 'name: "dw"', 'name: "dw_hp"')
    assert "nnie-11" not in {f.rule for f in check_export(export, NOTHING)}


def test_rule_12_another_permute(export: Path) -> None:
    order = "permute_param { order: 0 order: 3 order: 1 order: 2 }"
    add(export, f'layer {{ name: "p" type: "Permute" bottom: "add" top: "p" {order} }}')

    says(export, 12, "error", "layer 'p'", "order [0, 3, 1, 2]")


@pytest.mark.parametrize(
    ("dims", "saw"),
    [("dim: 0 dim: -1", "dims [0, -1]"), ("dim: 1 dim: 4 dim: -1 dim: 2", "dims [1, 4, -1, 2]")],
)
def test_rule_13_another_reshape(export: Path, dims: str, saw: str) -> None:
    shape = f"reshape_param {{ shape {{ {dims} }} }}"
    add(export, f'layer {{ name: "r" type: "Reshape" bottom: "add" top: "r" {shape} }}')

    says(export, 13, "error", "layer 'r'", saw)


def test_rule_14_the_batch_axis(export: Path) -> None:
    add(
        export,
        """layer { name: "c" type: "Concat" bottom: "add" bottom: "pool1" top: "c"
        concat_param { axis: 0 } }""",
    )

    says(export, 14, "error", "layer 'c'", "axis 0")
    edit(export, "net.prototxt", "axis: 0", "axis: -4")
    says(export, 14, "error", "layer 'c'", "axis -4")


def test_rule_14_a_concat_of_33(export: Path) -> None:
    bottoms = 'bottom: "add" ' * 33
    add(export, f'layer {{ name: "c" type: "Concat" {bottoms} top: "c" }}')

    says(export, 14, "error", "layer 'c'", "33 bottoms")


def test_rule_15_an_eltwise_of_two_shapes(export: Path) -> None:
    add(export, 'layer { name: "e" type: "Eltwise" bottom: "add" bottom: "pool2" top: "e" }')

    says(export, 15, "error", "layer 'e'", "bottoms of [1, 16, 4, 4], [1, 16, 8, 8]")


def test_rule_15_a_tile(export: Path) -> None:
    add(export, 'layer { name: "t" type: "Tile" bottom: "add" top: "t" tile_param { tiles: 2 } }')

    says(export, 15, "error", "layer 't'", "a Tile")


def test_rule_16_a_matmul_behind_a_dense_layer(export: Path) -> None:
    add(
        export,
        """layer { name: "r" type: "ReLU" bottom: "output" top: "output" }
        layer { name: "m" type: "MatMul" bottom: "output" bottom: "pool2" top: "m" }""",
    )

    says(export, 16, "error", "layer 'fc'", "a MatMul behind it")


def test_rule_16_another_layer_behind_a_dense_layer_is_a_warning(export: Path) -> None:
    add(export, 'layer { name: "s" type: "Softmax" bottom: "output" top: "s" }')
    assert "nnie-16" not in {f.rule for f in check_export(export, NOTHING)}
    add(export, 'layer { name: "w" type: "Power" bottom: "output" top: "w" }')

    says(export, 16, "warning", "layer 'fc'", "layer 'w', Power, behind an InnerProduct")


def test_rule_17_another_power(export: Path) -> None:
    text = 'layer { name: "w" type: "Power" bottom: "add" top: "w" power_param { power: 1.5 } }'
    add(export, text)

    says(export, 17, "error", "layer 'w'", "power 1.5")
    for power in ("-3", "-2", "-1", "-0.5", "0.5", "1", "2", "3"):
        edit(export, "net.prototxt", text, text.replace("1.5", power))
        assert "nnie-17" not in {f.rule for f in check_export(export, NOTHING)}
        edit(export, "net.prototxt", text.replace("1.5", power), text)


def test_rule_17_another_eps(export: Path) -> None:
    add(
        export,
        'layer { name: "n" type: "Normalize" bottom: "add" top: "n" norm_param { eps: 1e-5 } }',
    )

    says(export, 17, "error", "layer 'n'", "eps 1e-05")
    edit(export, "net.prototxt", "eps: 1e-5", "eps: 1e-10")
    assert "nnie-17" not in {f.rule for f in check_export(export, NOTHING)}


def test_rule_18_an_upsample_by_four(export: Path) -> None:
    add(
        export,
        """layer { name: "u" type: "Upsample" bottom: "add" top: "u"
        upsample_param { scale: 4 } }""",
    )

    says(export, 18, "error", "layer 'u'", "scale 4")


def test_rule_18_an_upsample_behind_the_cpu(export: Path) -> None:
    add(
        export,
        """layer { name: "x_cpu" type: "Odd" bottom: "add" top: "x" }
        layer { name: "u" type: "Upsample" bottom: "x" top: "u" upsample_param { scale: 2 } }""",
    )

    says(export, 18, "error", "layer 'u'", "layer 'x_cpu' before it")


def test_rule_18_an_interp_is_a_warning(export: Path) -> None:
    add(export, 'layer { name: "i" type: "Interp" bottom: "add" top: "i" }')

    says(export, 18, "warning", "layer 'i'", "an Interp, which mappers often refuse")


@pytest.mark.parametrize("mode", ["0", "1"])
def test_rule_19_marks_without_the_mode(export: Path, mode: str) -> None:
    edit(export, "net.cfg", "[compile_mode] 2", f"[compile_mode] {mode}")

    saw = f"compile_mode {mode}, and names that end in '_hp': 'conv1_hp'"
    says(export, 19, "error", "net.cfg", saw)


def test_rule_19_the_mode_without_marks_is_a_warning(export: Path) -> None:
    edit(export, "net.prototxt", "conv1_hp", "conv1")
    (export / "net_sim.cfg").unlink()

    saw = "compile_mode 2 and no name that ends in '_hp'"
    says(export, 19, "warning", "net.cfg", saw)


def test_rule_19_a_mark_on_an_in_place_activation_is_a_warning(export: Path) -> None:
    edit(export, "net.prototxt", 'name: "relu1"', 'name: "relu1_hp"')

    says(export, 19, "warning", "layer 'relu1_hp'", "'_hp' on an in-place activation")


def test_rule_20_a_report_on_a_layers_name(export: Path) -> None:
    edit(export, "net.prototxt", 'name: "add"', 'name: "add_report"')

    says(export, 20, "error", "layer 'add_report'", "'_report' on a layer's name")


def test_rule_20_a_report_of_a_custom_layer(export: Path) -> None:
    text = 'layer { name: "k" type: "Custom" bottom: "add" top: "k_report" }'
    add(export, text)

    says(export, 20, "error", "layer 'k'", "the top 'k_report' of a Custom layer")
    edit(export, "net.prototxt", text, text.replace("Custom", "Proposal"))
    says(export, 20, "warning", "layer 'k'", "the top 'k_report' of a layer on the CPU")


def test_rule_20_a_report_on_an_input_is_a_warning(export: Path) -> None:
    edit(export, "net.prototxt", '"input"', '"input_report"')

    says(export, 20, "warning", "input 'input_report'", "'_report' on an input")


def test_rule_21_the_cpu_on_an_input(export: Path) -> None:
    edit(export, "net.prototxt", 'name: "input"', 'name: "input_cpu"')

    says(export, 21, "error", "layer 'input_cpu'", "'_cpu' on an input")


def test_rule_21_the_cpu_on_an_in_place_activation(export: Path) -> None:
    edit(export, "net.prototxt", 'name: "relu1"', 'name: "relu1_cpu"')

    says(export, 21, "error", "layer 'relu1_cpu'", "'_cpu' on an in-place activation")


def test_rule_21_the_cpu_behind_an_input_or_a_custom_layer(export: Path) -> None:
    add(export, 'layer { name: "x_cpu" type: "Odd" bottom: "input" top: "x" }')

    says(export, 21, "error", "layer 'x_cpu'", "input 'input' before a layer that ends in '_cpu'")
    add(
        export,
        """layer { name: "k" type: "Custom" bottom: "add" top: "k" }
        layer { name: "y_cpu" type: "Odd" bottom: "k" top: "y" }""",
    )
    found = [f for f in check_export(export, NOTHING) if f.rule == "nnie-21"]
    assert found[1].saw == "layer 'k' before a layer that ends in '_cpu'"


def test_rule_22_nine_segments(export: Path) -> None:
    """A Custom layer between two layers of NNIE cuts; the first segment is there already."""
    bottom = "pool2"
    for i in range(8):
        add(
            export,
            f"""layer {{ name: "k{i}" type: "Custom" bottom: "{bottom}" top: "k{i}" }}
            layer {{ name: "s{i}" type: "Sigmoid" bottom: "k{i}" top: "s{i}" }}\n""",
        )
        bottom = f"s{i}"
        if i == 6:
            assert "nnie-22" not in {f.rule for f in check_export(export, NOTHING)}

    says(export, 22, "error", "the network", "9 segments of NNIE")


def test_rule_22_seventeen_outputs_of_a_segment(export: Path) -> None:
    for i in range(16):
        add(export, f'layer {{ name: "s{i}" type: "Sigmoid" bottom: "add" top: "s{i}" }}')

    place = "segment 0, from layer 'conv1_hp' on"
    says(export, 22, "error", place, "17 outputs")


def test_rule_22_five_roi_layers(export: Path) -> None:
    for i in range(5):
        add(
            export,
            f'layer {{ name: "r{i}" type: "ROIPooling" bottom: "add" bottom: "fc" top: "r{i}" }}',
        )

    found = [f.saw for f in check_export(export, NOTHING) if f.rule == "nnie-22"]
    assert found == ["5 ROI layers: 'r0', 'r1', 'r2', 'r3', 'r4'", "5 ROI layers"]


def test_rule_23_a_layer_without_weights(export: Path) -> None:
    weigh(export, lambda layers: setattr(layers["conv2"], "name", "conv2_hp"))

    says(export, 23, "error", "layer 'conv2'", "no layer of that name in the caffemodel")


def test_rule_23_weights_of_another_shape(export: Path) -> None:
    edit(export, "net.prototxt", "num_output: 10", "num_output: 11")

    found = [(f.place, f.saw, f.wanted) for f in check_export(export, NOTHING)]
    assert (
        "layer 'fc', blob 0",
        "shape [10, 256]",
        "[11, 256], as the prototxt says",
    ) in found


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

    one = broken(export, 23)
    assert one.place == "net.caffemodel"
    assert one.saw.startswith("a caffemodel must be a binary NetParameter")


def test_rule_24_a_training_layer(export: Path) -> None:
    add(export, 'layer { name: "d" type: "Dropout" bottom: "add" top: "add" }')

    says(export, 24, "error", "layer 'd'", "the training layer Dropout")


def test_rule_24_a_blob_of_five_dims(export: Path) -> None:
    shape = "shape { dim: 0 dim: 2 dim: 8 dim: 8 dim: 8 }"
    add(
        export,
        f"""layer {{ name: "r" type: "Reshape" bottom: "add" top: "r"
        reshape_param {{ {shape} }} }}""",
    )

    says(export, 24, "error", "layer 'r'", "the top 'r' of 5 dims")


@pytest.mark.parametrize(
    "key",
    [
        "prototxt_file",
        "caffemodel_file",
        "net_type",
        "image_list",
        "image_type",
        "norm_type",
        "mean_file",
    ],
)
def test_rule_25_a_key_that_is_missing(export: Path, key: str) -> None:
    lines = (export / "net.cfg").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(f"[{key}]")]
    (export / "net.cfg").write_text("\n".join(kept), encoding="utf-8")

    says(export, 25, "error", "net.cfg", f"no [{key}]")


def test_rule_25_a_group_too_many(export: Path) -> None:
    edit(export, "net.cfg", "[image_type] 1\n", "[image_type] 1\n[image_type] 1\n")

    says(export, 25, "error", "net.cfg", "[image_type] 2 times for 1 inputs")


def test_rule_25_a_key_without_a_value_or_twice(export: Path) -> None:
    edit(export, "net.cfg", "[net_type] 0", "[net_type]")
    says(export, 25, "error", "net.cfg:4", "nothing behind [net_type]")
    edit(export, "net.cfg", "[net_type]", "[net_type] 0\n[net_type] 0")
    says(export, 25, "error", "net.cfg:5", "[net_type] again")


def test_rule_25_a_file_that_does_not_exist(export: Path) -> None:
    (export / "net.caffemodel").rename(export / "other.caffemodel")

    found = [f for f in check_export(export, NOTHING) if f.rule == "nnie-25"]
    assert [(f.place, f.saw) for f in found] == [
        (name, "[caffemodel_file] './net.caffemodel', which is no file")
        for name in ("net.cfg", "net_sim.cfg")
    ]


def test_rule_25_a_key_that_the_mapper_lacks_is_a_warning(export: Path) -> None:
    edit(export, "net.cfg", "[instruction_name]", "[instructions_name]")

    one = broken(export, 25, "warning")
    assert (one.place, one.saw) == ("net.cfg:9", "the key [instructions_name]")
    assert one.mend == "Write [instruction_name]."


def test_rule_25_a_comment_is_a_warning(export: Path) -> None:
    edit(export, "net.cfg", "[net_type]", "# a note\n[net_type]")

    says(export, 25, "warning", "net.cfg:4", "'# a note'")


def test_rule_26_tensors_with_a_norm(export: Path) -> None:
    edit(export, "net.cfg", "[image_type] 1", "[image_type] 0")

    says(export, 26, "error", "net.cfg", "norm_type 5 with image_type 0")


def test_rule_26_a_mean_of_two_channels(export: Path) -> None:
    (export / "mean.txt").write_text("1\n2\n", encoding="utf-8")

    says(export, 26, "error", "mean_file './mean.txt'", "2 numbers")
    (export / "mean.txt").write_text("1\n2\nx\n", encoding="utf-8")
    says(export, 26, "error", "mean_file './mean.txt'", "'x'")
    (export / "mean.txt").unlink()
    saw = "a file that cannot be read (No such file or directory)"
    says(export, 26, "error", "mean_file './mean.txt'", saw)


def test_rule_26_a_mean_image(export: Path) -> None:
    edit(export, "net.cfg", "[norm_type] 5", "[norm_type] 4")
    says(export, 26, "error", "net.cfg", "mean_file './mean.txt' with norm_type 4")
    edit(export, "net.cfg", "./mean.txt", "./mean.binaryproto")
    where = "mean_file './mean.binaryproto'"
    for array, saw in ((np.zeros((3, 16, 8)), "a mean of [3, 16, 8]"), (np.zeros((3, 16, 16)), "")):
        (export / "mean.binaryproto").write_bytes(blob_bytes(array))
        if saw:
            says(export, 26, "error", where, saw)
    assert "nnie-26" not in {f.rule for f in check_export(export, NOTHING)}


def test_rule_26_a_mean_that_is_not_read_is_a_warning(export: Path) -> None:
    edit(export, "net.cfg", "[norm_type] 5", "[norm_type] 3")

    saw = "mean_file './mean.txt' with norm_type 3, which reads none"
    says(export, 26, "warning", "net.cfg", saw)


@pytest.mark.parametrize(
    ("old", "new", "saw"),
    [
        ("[data_scale] 0.25", "[data_scale] 0.000244140625", "data_scale '0.000244140625'"),
        ("[data_scale] 0.25", "[data_scale] nan", "data_scale 'nan'"),
        ("[compile_mode] 2", "[compile_mode] 3", "compile_mode '3'"),
        ("[RGB_order] BGR", "[RGB_order] bgr", "RGB_order 'bgr'"),
        ("[batch_num] 1", "[batch_num] 257", "batch_num '257'"),
        ("[batch_num] 1", "[batch_num] ²", "batch_num '²'"),
        ("[sparse_rate] 0", "[sparse_rate] 1.5", "sparse_rate '1.5'"),
        ("[internal_stride] 16", "[internal_stride] 64", "internal_stride '64'"),
        ("[log_level] 2", "[log_level] 4", "log_level '4'"),
        ("] ./net\n", f"] ./{'n' * 118}\n", "an instruction_name of 120"),
    ],
)
def test_rule_27_numbers_and_words_are_legal(export: Path, old: str, new: str, saw: str) -> None:
    edit(export, "net.cfg", old, new)

    one = broken(export, 27)
    assert one.place.startswith("net.cfg:")
    assert one.saw == saw


def test_rule_27_a_coordinate_file_for_each_roi_layer(export: Path) -> None:
    (export / "net_sim.cfg").unlink()
    edit(export, "net.cfg", "[net_type] 0", "[net_type] 0\n[roi_coordinate_file] ./rois.txt")

    says(export, 27, "error", "net.cfg", "1 roi_coordinate_file for 0 ROI layers")


def test_rule_28_a_picture_that_is_gone_or_of_another_size_or_kind(export: Path) -> None:
    where = "image_list './image_list.txt'"
    (export / "images" / "0001.png").unlink()
    says(export, 28, "error", where, "1 of 20 files that do not exist: './images/0001.png'")
    Image.new("RGB", (16, 17)).save(export / "images" / "0001.png")
    says(export, 28, "error", where, "1 of 20 pictures of 16x17: './images/0001.png'")
    (export / "images" / "0001.png").write_bytes(b"no picture")
    says(export, 28, "error", where, "1 of 20 files that are no pictures: './images/0001.png'")


def test_rule_28_a_path_of_other_letters_or_another_kind(export: Path) -> None:
    where = "image_list './image_list.txt'"
    (export / "images" / "0001.png").rename(export / "images" / "é.png")
    edit(export, "image_list.txt", "./images/0001.png", "./images/é.png")
    says(export, 28, "error", where, "1 of 20 paths with other characters: './images/é.png'")
    (export / "images" / "é.png").rename(export / "images" / "1.gif")
    edit(export, "image_list.txt", "./images/é.png", "./images/1.gif")
    says(export, 28, "error", where, "1 of 20 files of another kind: './images/1.gif'")


@pytest.mark.parametrize(
    ("count", "severity", "wanted"),
    [
        (19, "warning", "20, of typical scenes"),
        (9, "warning", "10 at the very least, of typical scenes"),
        (0, "error", "10 at the very least, of typical scenes"),
    ],
)
def test_rule_28_too_few(export: Path, count: int, severity: str, wanted: str) -> None:
    rows = (export / "image_list.txt").read_text(encoding="utf-8").splitlines()[:count]
    (export / "image_list.txt").write_text("\n".join(rows), encoding="utf-8")

    one = broken(export, 28, severity)
    assert (one.saw, one.wanted) == (f"{count} samples", wanted)


def test_rule_28_tensors_have_every_number(export: Path) -> None:
    edit(export, "net.cfg", "[image_type] 1\n[norm_type] 5", "[image_type] 0\n[norm_type] 0")
    edit(export, "net.cfg", "./image_list.txt", "./t.txt")
    (export / "net_sim.cfg").unlink()
    row = " ".join(["0.5"] * 768)
    good, odd = [row.replace(" ", ","), *[row] * 19], row.replace("0.5", "nan", 1)
    for rows, place, saw in (
        ([*good, "1 2"], "image_list './t.txt':21", "2 numbers"),
        ([*good, odd], "image_list './t.txt':21", "'nan'"),
    ):
        (export / "t.txt").write_text("\n".join(rows), encoding="utf-8")
        says(export, 28, "error", place, saw)
    (export / "t.txt").write_text("\n".join(good), encoding="utf-8")
    assert "nnie-28" not in {f.rule for f in check_export(export, NOTHING)}


@pytest.mark.parametrize(
    ("told", "layer", "wanted"),
    [
        ("1", "", "0, for a plain network"),
        ("0", 'type: "LSTM"', "2, for LSTM and RNN"),
        ("0", 'type: "PSROIPooling"', "1, for ROI layers"),
    ],
)
def test_rule_29_net_type_says_what_is_in_it(
    export: Path, told: str, layer: str, wanted: str
) -> None:
    (export / "net_sim.cfg").unlink()
    edit(export, "net.cfg", "[net_type] 0", f"[net_type] {told}")
    if layer:
        add(export, f'layer {{ name: "x" bottom: "add" top: "x" {layer} }}')

    one = broken(export, 29, "warning")
    assert (one.place, one.saw, one.wanted) == ("net.cfg", f"net_type {told}", wanted)


def test_rule_30_what_is_slow(good: Path, export: Path) -> None:
    assert [f.saw for f in check_export(good, NOTHING)] == [
        "input channels not a multiple of 16 in 1 of 2 convolutions: 'conv1_hp: 3'",
        "an output width not a multiple of 16 in 1 of 2 convolutions: 'conv2: 8'",
    ]
    edit(export, "net.prototxt", "num_output: 16", "num_output: 18")
    saw = "output channels not a multiple of 4 in 2 of 2 convolutions: 'conv1_hp: 18', 'conv2: 18'"
    assert saw in [f.saw for f in check_export(export, NOTHING)]


def test_a_lone_prototxt_or_cfg_can_be_checked(export: Path) -> None:
    edit(export, "net.prototxt", 'type: "ReLU"', 'type: "Swish"')
    for name in ("net.prototxt", "net.cfg"):
        assert "nnie-1" in {f.rule for f in check_export(export / name, NOTHING)}
    for path in export.glob("*.cfg"):
        path.unlink()
    assert "nnie-1" in {f.rule for f in check_export(export, NOTHING)}


def test_paths_of_windows_are_found(export: Path) -> None:
    r"""RuyiStudio, the Windows program around the mapper, writes .\images\1.png."""
    edit(export, "net.cfg", "./", ".\\")
    edit(export, "image_list.txt", "./images/", ".\\images\\")

    assert errors(check_export(export / "net.cfg", NOTHING)) == []


def test_pictures_are_also_found_beside_their_list(export: Path) -> None:
    """Where the mapper seeks them depends on where it runs."""
    (export / "lists").mkdir()
    rows = (export / "image_list.txt").read_text(encoding="utf-8").replace("./images", "../images")
    (export / "lists" / "a.txt").write_text(rows, encoding="utf-8")
    edit(export, "net.cfg", "./image_list.txt", "./lists/a.txt")

    assert errors(check_export(export / "net.cfg", NOTHING)) == []


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_text("", encoding="utf-8")
    for path, seen in (
        (tmp_path, "a folder without either"),
        (tmp_path / "x.onnx", "none of these"),
    ):
        with pytest.raises(InputError) as caught:
            check_export(path, NOTHING)

        assert str(caught.value) == (
            f"{path}: NNIE's export is a .cfg or a .prototxt, or a folder with one, saw {seen}. "
            "Give what quant export wrote."
        )


def test_files_of_anything_never_stop_the_check(export: Path) -> None:
    """It reads what others made: random bytes, and every file emptied or cut."""
    rng = np.random.default_rng(0)
    for name in ("net.prototxt", "net.caffemodel", "net.cfg", "image_list.txt", "mean.txt"):
        kept = (export / name).read_bytes()
        for data in (b"", kept[: len(kept) // 2], rng.bytes(300), kept + b"\0", b"\xff" + kept):
            (export / name).write_bytes(data)
            assert isinstance(check_export(export, NOTHING), list)
        (export / name).write_bytes(kept)


FOREIGN = """name: "face"
  input: "data"
  input_shape: { dim: 1 dim: 3 dim: 64 dim: 64 }

layer {
  name: "conv0" type: "Convolution" bottom: "data" top: "conv0"
  param { lr_mult: 1.0 decay_mult: 0.0 }
  convolution_param {
    num_output: 8 bias_term: false group: 1 stride: 2 pad_h: 1 pad_w: 1 kernel_h: 3 kernel_w: 3
    weight_filler { type: "msra" }
  }
}
layer {
  name: "bn0" type: "BatchNorm" bottom: "conv0" top: "bn0"
  batch_norm_param { use_global_stats: true eps: 9.999999747378752e-06 }
}
layer { name: "bn0_scale" type: "Scale" bottom: "bn0" top: "bn0" scale_param { bias_term: true } }
layer { name: "relu0" type: "ReLU" bottom: "bn0" top: "bn0" }
layer {
  name: "dw1" type: "Convolution" bottom: "bn0" top: "dw1"
  convolution_param { num_output: 8 group: 8 stride: 2 pad: 1 kernel_size: 3 }
}
layer {
  name: "up" type: "Deconvolution" bottom: "dw1" top: "up" param { lr_mult: 0.0 }
  convolution_param {
    num_output: 8 bias_term: false pad: 0 kernel_size: 2 group: 8 stride: 2 dilation: 1
    weight_filler: { type: "constant" value: 1 }
  }
}
layer {
  name: "plus" type: "Eltwise" bottom: "bn0" bottom: "up" top: "plus"
  eltwise_param { operation: SUM }
}
layer { name: "joined" type: "Concat" bottom: "plus" bottom: "up" top: "joined"
#  concat_param {
#    axis: 1
#  }
}
layer {
  name: "score" type: "Convolution" bottom: "joined" top: "score"
  convolution_param { num_output: 4 pad: 1 kernel_h: 5 kernel_w: 1 }
}
layer {
  name: "score_reshape" type: "Reshape" bottom: "score" top: "score_reshape"
  reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 0 } }
}
layer {
  name: "prob" type: "Softmax" bottom: "score_reshape" top: "prob" softmax_param { axis: 1 }
}
layer {
  name: "prob_reshape" type: "Reshape" bottom: "prob" top: "prob_reshape"
  reshape_param { shape { dim: 0 dim: 4 dim: -1 dim: 0 } }
}
"""


def test_what_others_got_a_wk_from_breaks_no_rule(tmp_path: Path) -> None:
    """The idioms of two published networks that run on boards: RetinaFace (nniefacelib), ENet."""
    (tmp_path / "face.prototxt").write_text(FOREIGN, encoding="utf-8")
    found = check_export(tmp_path / "face.prototxt", NOTHING)

    assert errors(found) == []
    assert {f.rule for f in found} == {"nnie-11", "nnie-30"}

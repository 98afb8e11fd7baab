"""At each limit of the mapper no rule has a finding; one step beyond it, one has."""

from typing import Any

import numpy as np
import pytest

from quant.export.caffe.network.files import blob_of
from quant.export.caffe.network.messages import message
from quant.export.nnie.check.cfg import check_cfg, check_inputs
from quant.export.nnie.check.form import check_form
from quant.export.nnie.check.layers import check_layers, check_sizes
from quant.export.nnie.check.marks import check_marks
from quant.export.nnie.check.prototxt import read_prototxt
from quant.export.nnie.check.weights import check_weights
from quant.export.nnie.files.feeds import pixels_of
from quant.export.nnie.files.mapper_cfg import read_cfg
from quant.export.nnie.graph.mapper_net import MapperNet, net_of
from quant.export.nnie.graph.precision import precision_of
from quant.plan.tensor_plans import Plan
from quant.preprocess.image_to_tensor import Preprocess
from quant.target.deployment import Deployment


def net(layers: str, dims: str = "1 8 64 64", name: str = "x") -> MapperNet:
    shape = " ".join(f"dim: {d}" for d in dims.split())
    text = f'input: "{name}" input_shape {{ {shape} }}\n{layers}'
    read = read_prototxt(text)
    assert read.unknown == ()
    assert read.broken is None
    return net_of(read.net)


def layer(kind: str, rest: str = "", bottoms: int = 1) -> str:
    reads = "bottom: 'x' " * bottoms
    return f'layer {{ name: "y" type: "{kind}" top: "y" {reads} {rest} }}'


def conv(**fields: int) -> str:
    told = {"num_output": 8, "kernel_size": 1, **fields}
    inside = " ".join(f"{k}: {v}" for k, v in told.items())
    return layer("Convolution", f"convolution_param {{ {inside} }}")


def broken(layers: str, dims: str = "1 8 64 64") -> set[str]:
    built = net(layers, dims)
    found = [
        *check_form("p", built),
        *check_sizes(built),
        *check_layers(built),
        *check_marks(built),
    ]
    return {f.rule for f in found if f.severity == "error"}


@pytest.mark.parametrize(
    ("on", "over", "rule"),
    [
        (conv(kernel_size=255, pad=255), conv(kernel_size=256, pad=255), 9),
        (conv(pad=255), conv(pad=256), 9),
        (conv(pad=0), conv(stride=0), 9),
        (conv(stride=255), conv(stride=256), 9),
        (conv(dilation=255), conv(dilation=256), 9),
        (conv(num_output=4096), conv(num_output=4097), 10),
        (layer("Concat", bottoms=32), layer("Concat", bottoms=33), 14),
        (layer("Eltwise", bottoms=2), layer("Eltwise"), 15),
    ],
)
def test_parameters(on: str, over: str, rule: int) -> None:
    assert broken(on) == set()
    assert broken(over) == {f"nnie-{rule}"}


def test_groups() -> None:
    on, over = (conv(num_output=n, group=n) for n in (2048, 2049))

    assert broken(on, "1 2048 8 8") == set()
    assert broken(over, "1 2049 8 8") == {"nnie-11"}


def test_segments_outputs_and_roi_layers() -> None:
    outputs = [
        "".join(layer("Sigmoid").replace('"y"', f'"y{i}"') for i in range(n)) for n in (16, 17)
    ]
    rois = [
        "".join(layer("ROIPooling").replace('"y"', f'"y{i}"') for i in range(n)) for n in (2, 3)
    ]

    for on, over in (outputs, rois):
        assert broken(on) == set()
        assert broken(over) == {"nnie-22"}


def test_inputs_of_a_segment() -> None:
    """A Custom layer's tops come from outside; with the picture they are 16 or 17."""
    for count, rules in ((15, set[str]()), (16, {"nnie-22"})):
        tops = " ".join(f'top: "t{i}"' for i in range(count))
        shapes = "shape { dim: 1 dim: 8 dim: 64 dim: 64 }" * count
        custom = (
            f'layer {{ name: "c" type: "Custom" bottom: "x" {tops} custom_param {{ {shapes} }} }}'
        )
        bottoms = " ".join(f'bottom: "t{i}"' for i in range(count))
        add = f'layer {{ name: "y" type: "Eltwise" bottom: "x" {bottoms} top: "y" }}'
        assert broken(custom + add) == rules


def test_names() -> None:
    for name, count in (("n" * 31, 0), ("n" * 32, 1), ("é" * 16, 2)):
        built = net(layer("ReLU").replace("'x'", f"'{name}'"), name=name)
        assert sum(f.rule == "nnie-5" for f in check_form("p", built)) == count


@pytest.mark.parametrize(
    ("on", "over"),
    [
        (f"[instruction_name] {'n' * 119}", f"[instruction_name] {'n' * 120}"),
        ("[batch_num] 0", "[batch_num] -1"),
        ("[batch_num] 256", "[batch_num] 257"),
        ("[max_roi_frame_cnt] 5000", "[max_roi_frame_cnt] 0"),
        ("[recurrent_tmax] 1024", "[recurrent_tmax] 1025"),
        ("[data_scale] 0.000244140626", "[data_scale] 0.000244140625"),
        ("[data_scale] 1e30", "[data_scale] inf"),
        ("[sparse_rate] 1", "[sparse_rate] 1.01"),
        ("[sparse_rate] 0", "[sparse_rate] x"),
    ],
)
def test_configuration(on: str, over: str) -> None:
    def rules(text: str) -> set[str]:
        return {f.rule for f in check_cfg(read_cfg(text), "c")} - {"nnie-25"}

    assert rules(on) == set()
    assert rules(over) == {"nnie-27"}


@pytest.mark.parametrize(("rows", "good"), [(7, False), (8, True), (4096, True), (4097, False)])
def test_rows_of_a_picture(rows: int, good: bool) -> None:
    cfg = read_cfg("[image_type] 1")
    for dims in (f"1 3 {rows} 16", f"1 3 16 {rows}"):
        findings = [f for f in check_inputs(cfg, "c", net("", dims)) if f.rule == "nnie-3"]
        assert bool(findings) != good


@pytest.mark.parametrize(("rows", "good"), [(7, False), (8, True), (4096, True), (4097, False)])
def test_rows_of_what_is_written_as_a_picture(rows: int, good: bool) -> None:
    """What the check refuses as a picture is not written as one."""
    deployment = Deployment(preprocess=Preprocess(channels="GRAY"))
    for shape in ((1, rows, 8), (1, 8, rows)):
        assert (pixels_of(np.zeros(shape, np.float32), deployment) is not None) == good


def weighed(layers: str, *shapes: tuple[int, ...]) -> list[str]:
    model: Any = message("NetParameter")
    one = model.layer.add(name="y")
    one.blobs.extend(blob_of(np.ones(shape)) for shape in shapes)
    return [f.saw for f in check_weights(net(layers, "1 8 2 2"), model)]


def test_weights_of_before_caffe_1_have_ones_in_front() -> None:
    """Files of the time write InnerProduct's weight as 1 x 1 x N x K, and a bias as 1 x 1 x 1 x N."""
    dense = layer("InnerProduct", "inner_product_param { num_output: 5 }")

    assert weighed(dense, (5, 32), (5,)) == []
    assert weighed(dense, (1, 1, 5, 32), (1, 1, 1, 5)) == []
    assert weighed(dense, (2, 1, 5, 32), (5,)) == ["shape [2, 1, 5, 32]"]
    assert weighed(dense, (32, 5), (5,)) == ["shape [32, 5]"]
    assert weighed(dense.replace("5 }", "5 transpose: true }"), (32, 5), (5,)) == []


def test_a_dense_weight_may_be_long_on_the_side_that_is_only_warned_about() -> None:
    dense = layer("InnerProduct", "inner_product_param { num_output: 2 }")
    built = net(dense, "1 5000 1 1")
    model: Any = message("NetParameter")
    model.layer.add(name="y").blobs.extend([blob_of(np.ones((2, 5000))), blob_of(np.ones(2))])

    assert check_weights(built, model) == []
    assert [f.severity for f in check_sizes(built) if f.rule == "nnie-10"] == ["warning"]


@pytest.mark.parametrize(
    ("layers", "shapes"),
    [
        (layer("PReLU"), [(8,)]),
        (layer("PReLU", "prelu_param { channel_shared: true }"), [(1,)]),
        (layer("Scale"), [(8,)]),
        (layer("Scale", "scale_param { bias_term: true }"), [(8,), (8,)]),
        (layer("Scale", "scale_param { num_axes: -1 }"), [(8, 2, 2)]),
        (layer("Bias"), [(8,)]),
        (layer("DepthwiseConv", "convolution_param { kernel_size: 1 }"), [(8, 1, 1, 1), (8,)]),
        (layer("ReLU"), []),
    ],
)
def test_blobs_of_other_layers(layers: str, shapes: list[tuple[int, ...]]) -> None:
    assert weighed(layers, *shapes) == []
    if shapes:
        assert weighed(layers, *shapes[:-1], (9,)) == ["shape [9]"]


def test_a_plan_without_layers_asks_for_nothing() -> None:
    empty = Plan(target="nnie", graph="", layers={}, tensors={})

    assert precision_of(empty, frozenset()).compile_mode == 0

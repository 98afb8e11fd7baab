"""Each option of a conversion is in its files: suffixes, preprocessing, shifts, CPU layers."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.export.caffe.build import CaffeOptions
from quant.export.caffe.convert import CaffeNet, convert
from quant.export.caffe.network.files import blob_array, parse_caffemodel, parse_prototxt
from quant.export.caffe.network.messages import message
from quant.graph.prepared_graph import Graph
from tests.chosen import prepared
from tests.export.caffe.programs import Job, opencv_outputs
from tests.models import conv_relu_net, gemm_net, model, residual_net, weights

IMAGE = np.random.default_rng(3).normal(size=(1, 3, 16, 16)).astype(np.float32)


def layers(net: CaffeNet) -> dict[str, Any]:
    return {layer.name: layer for layer in parse_prototxt(net.prototxt, "p").layer}


def blobs(net: CaffeNet, name: str) -> list[NDArray[np.float32]]:
    held = parse_caffemodel(net.caffemodel, "c").layer
    return [blob_array(b, name) for layer in held if layer.name == name for b in layer.blobs]


def computed(net: CaffeNet, image: NDArray[np.float32], tensor: str = "output") -> Any:
    """Return what OpenCV makes of an image."""
    blob = net.tops[tensor]
    feeds = {net.inputs["input"]: image}
    made = Job(prototxt=net.prototxt, caffemodel=net.caffemodel, feeds=feeds, blobs=(blob,))
    return opencv_outputs(made)[blob].reshape(-1)


def wanted(proto: onnx.ModelProto, image: NDArray[np.float32]) -> Any:
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return session.run(None, {"input": image})[0].reshape(-1)


def test_layers_of_high_precision_end_in_hp_in_both_files() -> None:
    """Caffe finds weights by the layer's name, and the mapper the precision."""
    net = convert(prepared(conv_relu_net()), CaffeOptions(high={"conv1", "fc", "relu1"}))

    assert [n for n in layers(net) if n.endswith("_hp")] == ["conv1_hp", "fc_hp"]
    assert net.layers["conv1"] == "conv1_hp"
    assert len(blobs(net, "conv1_hp")) == 2
    assert list(layers(net)["conv1_hp"].top) == ["conv1"]
    assert np.allclose(computed(net, IMAGE), wanted(conv_relu_net(), IMAGE), atol=1e-5)


def test_an_output_that_is_read_on_is_reported_and_an_inner_tensor_on_wish() -> None:
    """A blob that some layer reads leaves the chip only with the suffix."""
    proto = model(
        """g (float[N,3,16,16] input) => (float[N,4,16,16] mid, float[N,2,16,16] output) {
            [c1] a = Conv(input, w1)
            [r1] mid = Relu(a)
            [c2] b = Conv(mid, w2)
            [s2] c = Sigmoid(b)
            [c3] output = Conv(c, w3)
        }""",
        weights(0, w1=(4, 3, 1, 1), w2=(4, 4, 1, 1), w3=(2, 4, 1, 1)),
    )
    net = convert(prepared(proto), CaffeOptions(report={"c"}))

    assert net.outputs == ("mid_report", "output", "c_report")
    assert list(layers(net)["c2"].bottom) == ["mid_report"]
    assert net.unread == ()


def test_a_tensor_that_is_reported_is_not_overwritten() -> None:
    """To see a convolution before its Relu, the Relu must write elsewhere."""
    net = convert(prepared(conv_relu_net()), CaffeOptions(report={"a"}))

    assert net.tops["a"] == "a_report"
    assert list(layers(net)["relu1"].top) == ["relu1"]
    assert list(layers(net)["relu1"].bottom) == ["a_report"]


def test_a_tensor_that_is_none_is_one_sentence() -> None:
    with pytest.raises(InputError) as caught:
        convert(prepared(conv_relu_net()), CaffeOptions(report={"w1"}))

    assert str(caught.value) == (
        "net.onnx: a reported tensor must be made by a layer, and 'w1' is not. Report another one."
    )


def test_an_input_that_nothing_reads_is_left_out() -> None:
    """The mapper wants images for every input of the prototxt."""
    proto = model(
        """g (float[1,3,16,16] input, float[1,2] idle) => (float[1,2,16,16] output) {
            [c] output = Conv(input, w)
        }""",
        weights(0, w=(2, 3, 1, 1)),
    )
    net = convert(Graph(ir.from_proto(proto), "net"))

    assert net.inputs == {"input": "input"}
    assert "idle" not in net.prototxt


def test_a_factor_and_a_channel_order_go_into_the_first_layer_exactly() -> None:
    """The board gives (x / factor) in reverse order; padding included the network is the same."""
    factor = np.array([58.4, 57.1, 57.4]) / 57
    padded = model(
        """g (float[1,3,16,16] input) => (float[1,2,8,8] output) {
            [p] a = Pad(input, pads)
            [c] output = Conv<strides=[2,2]>(a, w)
        }""",
        {**weights(0, w=(2, 3, 3, 3)), "pads": np.array([0, 0, 0, 0, 0, 0, 1, 1])},
    )
    for proto in (conv_relu_net(), gemm_net(), padded):
        net = convert(prepared(proto), CaffeOptions(factors={"input": factor}, swapped={"input"}))
        given = (IMAGE / factor.reshape(1, 3, 1, 1))[:, ::-1].astype(np.float32)

        assert "Scale" not in net.prototxt
        assert np.allclose(computed(net, given), wanted(proto, IMAGE), atol=1e-4)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_factor_that_no_layer_can_take_becomes_one(swapped: bool) -> None:
    """A depthwise layer could take the factor, but not another order of channels; a sum neither."""
    proto = model(
        """g (float[1,3,16,16] input) => (float[1,3,16,16] output) {
            [c] a = Conv<group=3, pads=[1,1,1,1]>(input, w)
            [s] output = Add(a, input)
        }""",
        weights(0, w=(3, 1, 3, 3)),
    )
    factor = np.array([0.5, 2, 3])
    order = {"input"} if swapped else set()
    net = convert(
        Graph(ir.from_proto(proto), "net"), CaffeOptions(factors={"input": factor}, swapped=order)
    )
    given = (IMAGE / factor.reshape(1, 3, 1, 1))[:, :: -1 if swapped else 1].astype(np.float32)

    assert net.prototxt.count('"Scale"') == (not swapped)
    assert np.allclose(computed(net, given), wanted(proto, IMAGE), atol=1e-5)


def test_only_the_last_product_is_an_inner_product() -> None:
    """The mapper lets nothing but an activation or Softmax follow one."""
    kinds = {name: layer.type for name, layer in layers(convert(prepared(gemm_net()))).items()}

    assert [kinds[n] for n in ("fc1", "fc2", "fc3")] == [
        "Convolution",
        "Convolution",
        "InnerProduct",
    ]
    assert "Reshape" not in kinds.values()
    assert "Flatten" not in kinds.values()


def test_a_shift_is_added_to_the_bias_which_is_made_for_it() -> None:
    """The plan's correction of the mean rounding error reaches the chip through the bias."""
    proto = model(
        "g (float[1,3,16,16] input) => (float[1,2,16,16] output) {[c] output = Conv(input, w)}",
        weights(0, w=(2, 3, 1, 1)),
    )
    shift = np.array([0.25, -1], np.float32)
    net = convert(Graph(ir.from_proto(proto), "net"), CaffeOptions(shifts={"c": shift}))
    old = blobs(convert(prepared(conv_relu_net())), "conv1")[1]
    both = blobs(convert(prepared(conv_relu_net()), CaffeOptions(shifts={"conv1": old})), "conv1")[
        1
    ]

    assert np.array_equal(blobs(net, "c")[1], shift)
    assert np.array_equal(both, 2 * old)


def test_a_custom_layer_tells_the_shapes_of_what_the_host_computes() -> None:
    """NNIE's mapper reads nothing of it but names and shapes."""
    proto = model(
        """g (float[1,4,6,5] input) => (float[1,2,6,5] output) {
            [c1] a = Conv(input, w1)
            [odd] b, i = TopK<axis=1>(a, k)
            [c2] output = Conv(b, w2)
        }""",
        {**weights(0, w1=(4, 4, 1, 1), w2=(2, 3, 1, 1)), "k": np.array([3])},
    )
    net = convert(Graph(ir.from_proto(proto), "net"), CaffeOptions(custom={"odd"}))
    layer = layers(net)["odd"]

    assert layer.type == "Custom"
    assert list(layer.bottom) == ["c1"]
    assert list(layer.top) == ["odd_0", "odd_1"]
    assert [list(s.dim) for s in layer.custom_param.shape] == [[1, 3, 6, 5]] * 2
    assert list(layers(net)["c2"].bottom) == ["odd_0"]


def test_hostile_names_stay_out_of_the_prototxt() -> None:
    """Names come from the model, and the prototxt goes to a shell script's neighbour."""
    proto = residual_net()
    for node in proto.graph.node:
        node.name = f'"{node.name}" $(rm -rf /)\n层'
        if node.output[0] != "output":
            for other in proto.graph.node:
                other.input[:] = [f'{i}"\n' if i == node.output[0] else i for i in other.input]
            node.output[0] += '"\n'
    net = convert(prepared(proto))

    assert np.allclose(computed(net, IMAGE), wanted(residual_net(), IMAGE), atol=1e-5)
    assert all(n.replace("_", "").replace("-", "").isalnum() for n in layers(net))
    assert net.prototxt.isascii()


def test_names_of_inputs_and_outputs_fit_the_board() -> None:
    """The board's structures keep 31 characters of a node's name."""
    proto = conv_relu_net()
    long = "a/very/long/name/of/an/output/of/a/network"
    proto.graph.output[0].name = proto.graph.node[-1].output[0] = long
    proto.graph.node[-1].name = "x" * 50
    net = convert(prepared(proto), CaffeOptions(high={"x" * 50}))
    (blob,) = net.outputs

    assert len(blob) == 31
    assert net.tops[long] == blob
    assert len(net.layers["x" * 50]) == 31
    assert net.layers["x" * 50].endswith("_hp")


def test_tensors_that_were_overwritten_have_no_blob() -> None:
    """The blob of a convolution with Relu in its place holds the Relu's numbers."""
    net = convert(prepared(conv_relu_net()))

    assert net.tops["b"] == "conv1"
    assert "a" not in net.tops
    assert net.layers["relu1"] == "relu1"


def test_tensors_that_are_nowhere_have_no_blob_either() -> None:
    """A Pad is done by the convolution behind it, a factor by the first one."""
    proto = model(
        """g (float[1,3,16,16] input) => (float[1,2,14,16] output) {
            [p] a = Pad(input, pads)
            [c] output = Conv(a, w)
        }""",
        {**weights(0, w=(2, 3, 3, 3)), "pads": np.array([0, 0, 0, 1, 0, 0, 0, 1])},
    )
    net = convert(Graph(ir.from_proto(proto), "net"), CaffeOptions(factors={"input": np.ones(3)}))

    assert set(net.tops) == {"output"}
    assert net.inputs == {"input": "input"}


def test_what_a_wide_crop_leaves_is_told() -> None:
    """The board reports every blob that no layer reads."""
    proto = model(
        """g (float[1,3,40,16] input) => (float[1,2,20,16] output) {
            [c] a = Conv(input, w)
            [s] output = Slice(a, start, end, axis)
        }""",
        {
            **weights(0, w=(2, 3, 1, 1)),
            "start": np.array([5]),
            "end": np.array([25]),
            "axis": np.array([2]),
        },
    )
    net = convert(Graph(ir.from_proto(proto), "net"))

    assert net.outputs == ("output",)
    assert net.unread == ("s_part2_0", "s_part2_2")
    assert [net.shapes[n] for n in net.unread] == [(1, 2, 5, 16), (1, 2, 15, 16)]


def test_the_layers_are_in_both_files_under_the_same_names() -> None:
    """Caffe takes the weights of a layer whose name it knows, and silently none of another."""
    net = convert(prepared(residual_net()), CaffeOptions(high={"conv1"}))

    held = parse_caffemodel(net.caffemodel, "c").layer
    assert [layer.name for layer in held] == list(layers(net))
    assert message("NetParameter").DESCRIPTOR.name == "NetParameter"


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (
            {"image": (3, 8, 8)},
            "net.onnx: a size must be for an input, and 'image' is none. Inputs are 'input'.",
        ),
        (
            {"input": (2, 3, 8, 8)},
            (
                "net.onnx, input 'input': a size must be of batch 1 and have a number for each axis of "
                "['N', 3, 16, 16], saw [2, 3, 8, 8]. Mend the size."
            ),
        ),
        (
            {"input": (8, 8)},
            (
                "net.onnx, input 'input': a size must be of batch 1 and have a number for each axis of "
                "['N', 3, 16, 16], saw [8, 8]. Mend the size."
            ),
        ),
    ],
)
def test_a_wrong_size_is_one_sentence(sizes: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        convert(prepared(conv_relu_net()), CaffeOptions(sizes=sizes))

    assert str(caught.value) == said


def test_a_size_wins_over_the_models() -> None:
    """A fully convolutional network runs at any size, whatever it was exported with."""
    net = convert(prepared(conv_relu_net()), CaffeOptions(sizes={"input": (3, 24, 20)}))

    assert net.shapes["input"] == (1, 3, 24, 20)
    assert net.shapes[net.tops["b"]] == (1, 8, 24, 20)

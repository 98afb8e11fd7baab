"""Lists of layer precisions in trtexec's grammar."""

from dataclasses import replace

from quant.export.tensorrt.graph.layer_types import LayerType, layer_lists, layer_types
from tests.chosen import chosen
from tests.models import conv_relu_net, model, weights


def test_lists_name_every_computing_node_and_fix_float_outputs_alone() -> None:
    """Views and integer results stay out; a Relu goes with the layer that absorbs it."""
    graph, plan = chosen(conv_relu_net(), "tensorrt")
    layers = {**plan.layers, "conv2": replace(plan.layers["conv2"], precision="float16")}
    layers["fc"] = replace(plan.layers["fc"], precision="float32")
    plan = replace(plan, layers=layers)
    types = layer_types(graph, plan, {"conv2": "conv_2"}, integer=True)

    assert layer_lists(types) == (
        "--layerPrecisions=conv1:int8,relu1:int8,conv_2:fp16,relu2:fp16,pool:int8,fc:fp32\n"
        "--layerOutputTypes=conv_2:fp16,relu2:fp16,fc:fp32\n"
    )
    assert [t.node for t in layer_types(graph, plan, {}, integer=False)] == ["conv2", "relu2", "fc"]


def test_a_node_of_several_outputs_gets_a_type_for_each() -> None:
    proto = model(
        """g (float[N,4,4,4] x) => (float[N,4,4,4] y, float[N,2,4,4] p, float[N,2,4,4] q) {
            [conv] y = Conv(x, w1)
            [halves] p, q = Split<axis=1>(y, sizes)
        }""",
        weights(0, w1=(4, 4, 1, 1)),
    )
    import numpy as np
    import onnx

    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2, 2]), "sizes"))
    graph, plan = chosen(proto, "tensorrt")
    types = layer_types(graph, plan, {}, integer=False)

    assert types == [LayerType(node="halves", precision="fp32", outputs=2)]
    assert layer_lists(types).endswith("--layerOutputTypes=halves:fp32+fp32\n")


def test_no_layers_give_no_lists() -> None:
    assert layer_lists([]) == ""


def test_other_precisions_are_left_to_the_graph() -> None:
    graph, plan = chosen(conv_relu_net(), "tensorrt")
    layers = {n: replace(x, precision="fp8") for n, x in plan.layers.items()}

    assert layer_types(graph, replace(plan, layers=layers), {}, integer=True) == []

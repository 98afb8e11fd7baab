"""Models in memory: a proto and a torch module load as their files do, and are left as they were."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from quant.common.errors import InputError, UnsupportedError
from quant.graph.session import open_session
from quant.load.given_model import GivenModel
from quant.load.open_graph import open_graph
from tests.models import conv_relu_net, image


class Net(torch.nn.Module):
    """A convolution, a BatchNorm that training would change, and a layer that stays in training."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        self.frozen = torch.nn.Dropout().eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.frozen(self.norm(self.conv(x))).mean((2, 3))


def test_a_proto_is_the_graph_of_its_file(tmp_path: Path) -> None:
    proto = conv_relu_net()
    onnx.save(proto, tmp_path / "net.onnx")
    before = proto.SerializeToString(deterministic=True)
    _, given = open_graph(GivenModel(proto))
    _, read = open_graph(str(tmp_path / "net.onnx"))

    assert given.fingerprint == read.fingerprint
    assert (given.name, given.source) == ("g", "onnx.ModelProto g")
    assert proto.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("where", ["argument", "array", "attribute"])
def test_a_torch_module_is_exported_in_eval_mode_and_left_in_its_own(where: str) -> None:
    torch.manual_seed(0)
    net = Net()
    example = torch.zeros(1, 3, 16, 16)
    if where == "attribute":
        net.example_inputs = example
    given = GivenModel(
        net, {"argument": (example,), "array": example.numpy(), "attribute": None}[where]
    )
    modes = [part.training for part in net.modules()]
    _, graph = open_graph(given)
    made = open_session(graph.model).run(None, {str(graph.inputs[0].name): image()})[0]

    assert [part.training for part in net.modules()] == modes
    assert (graph.name, graph.source) == ("Net", "torch.nn.Module Net")
    with torch.no_grad():
        np.testing.assert_allclose(made, net.eval()(torch.tensor(image())), atol=1e-5)


def test_two_exports_of_one_module_are_one_graph() -> None:
    """A profile of the first must fit a plan of the second."""
    given = GivenModel(Net(), torch.zeros(2, 3, 16, 16))

    assert open_graph(given)[1].fingerprint == open_graph(given)[1].fingerprint


def external() -> onnx.ModelProto:
    proto = conv_relu_net()
    proto.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    return proto


def sparse() -> onnx.ModelProto:
    proto = conv_relu_net()
    values = onnx.helper.make_tensor("s", onnx.TensorProto.FLOAT, [1], [1.0])
    indices = onnx.helper.make_tensor("i", onnx.TensorProto.INT64, [1, 1], [0])
    proto.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, indices, [4]))
    return proto


@pytest.mark.parametrize(
    ("model", "example", "sentence"),
    [
        (
            3,
            None,
            (
                "model: a model is a path, an onnx.ModelProto or a torch.nn.Module, saw 'int'. Give "
                "one of these."
            ),
        ),
        (
            conv_relu_net(),
            torch.zeros(1),
            (
                "example_inputs: they are for the export of a torch.nn.Module, and this model is ONNX "
                "already. Leave them out."
            ),
        ),
        (
            Net(),
            None,
            (
                "torch.nn.Module Net: The export needs an example input, saw none. Give "
                "example_inputs=, a tensor or a tuple of tensors, or set module.example_inputs."
            ),
        ),
        (
            onnx.ModelProto(),
            None,
            (
                "onnx.ModelProto model: A model must have nodes and an opset, saw no node. Load it "
                "again."
            ),
        ),
        (
            external(),
            None,
            (
                "onnx.ModelProto g, initializer 'w1': The numbers of a model in memory must be in "
                "memory, and these are in a file. Give the model's path, or load external data."
            ),
        ),
        (
            sparse(),
            None,
            (
                "onnx.ModelProto g, initializer 's': Weights must be dense tensors, and this one is "
                "sparse. Export the model with dense weights."
            ),
        ),
    ],
)
def test_what_is_no_whole_model_is_refused(model: Any, example: Any, sentence: str) -> None:
    with pytest.raises((InputError, UnsupportedError)) as caught:
        open_graph(GivenModel(model, example))

    assert str(caught.value) == sentence

"""From the picture to the output, OpenCV's Caffe reader computes the model's numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from quant.export.nnie.check.run_rules import check_export
from quant.preprocess.image_to_tensor import Preprocess
from quant.target.deployment import Deployment
from quant.target.finding import errors
from tests.chosen import run
from tests.export.nnie.exports import fed, read_export, written
from tests.models import concat_net, conv_relu_net, depthwise_net, model, residual_net, weights

SIZE: Any = {"size": (16, 16)}
IMAGENET: Any = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}
PLAIN = Preprocess(**SIZE)

PREPROCESSES = {
    "nothing": PLAIN,
    "mean": Preprocess(**SIZE, mean=(10.0, 20.0, 30.0)),
    "scale": Preprocess(**SIZE, std=(255.0,)),
    "one std": Preprocess(**SIZE, mean=(127.5,), std=(128.0,), channels="BGR"),
    "ImageNet": Preprocess(**SIZE, **IMAGENET),
    "ImageNet, BGR": Preprocess(**SIZE, **IMAGENET, channels="BGR"),
    "very unlike": Preprocess(**SIZE, mean=(0.0, 200.0, 3.0), std=(1.0, 900.0, 17.0)),
    "under 1/4096": Preprocess(**SIZE, mean=(5.0,), std=(65025.0,)),
}


def gray_net() -> onnx.ModelProto:
    return model(
        """g (float[N,1,16,16] input) => (float[N,4,14,14] output) {
            [conv] output = Conv(input, w, b)
        }""",
        weights(3, w=(4, 1, 3, 3), b=(4,)),
    )


def planar_net() -> onnx.ModelProto:
    """Return a network as TensorFlow's converter makes them: channels last, then turned."""
    return model(
        """g (float[N,16,16,3] input) => (float[N,4,8,8] output) {
            [turn] a = Transpose<perm=[0,3,1,2]>(input)
            [conv] output = Conv<pads=[1,1,1,1], strides=[2,2]>(a, w, b)
        }""",
        weights(4, w=(4, 3, 3, 3), b=(4,)),
    )


def pool_first_net() -> onnx.ModelProto:
    """Return a network in which no convolution reads the input."""
    return model(
        """g (float[N,3,16,16] input) => (float[N,4,8,8] output) {
            [pool] a = AveragePool<kernel_shape=[2,2], strides=[2,2]>(input)
            [conv] output = Conv<pads=[1,1,1,1]>(a, w, b)
        }""",
        weights(5, w=(4, 3, 3, 3), b=(4,)),
    )


def agree(proto: onnx.ModelProto, preprocess: Preprocess, folder: Path) -> None:
    """Hold OpenCV on the mapper's input against ONNX Runtime on the calibration tensor."""
    graph, _, deployment = written(proto, folder, preprocess)
    assert deployment.samples is not None
    net = read_export(folder)
    for row, (_, tensors) in enumerate(list(deployment.samples(20))[:3]):
        (wanted,) = run(graph.model, {k: v[None] for k, v in tensors.items()})
        net.setInput(fed(folder, row), "input")
        outputs = net.forward().reshape(wanted.shape)

        # two ways to round some hundred products: relative to the largest answer
        assert np.abs(outputs - wanted).max() <= 2e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("name", PREPROCESSES)
def test_the_same_answer_from_picture_to_output(name: str, tmp_path: Path) -> None:
    """Channel order, mean, scale and what is folded: one slip and no answer is right."""
    agree(conv_relu_net(), PREPROCESSES[name], tmp_path)


@pytest.mark.parametrize("net", [concat_net, depthwise_net, residual_net, pool_first_net])
def test_the_same_answer_whatever_reads_the_input(net: Any, tmp_path: Path) -> None:
    agree(net(), PREPROCESSES["ImageNet"], tmp_path)


def test_the_same_answer_of_a_wide_picture(tmp_path: Path) -> None:
    """Rows and columns that are alike would hide that they are confused."""
    text = """g (float[N,3,H,W] input) => (float[N,4,H2,W2] output) {
        [conv] output = Conv(input, w, b)
    }"""
    wide = Preprocess(size=(24, 10), mean=(1.0, 2.0, 3.0), std=(9.0,))
    agree(model(text, weights(6, w=(4, 3, 3, 3), b=(4,))), wide, tmp_path)

    assert errors(check_export(tmp_path, Deployment())) == []
    text = (tmp_path / "DEPLOY.md").read_text(encoding="utf-8")
    assert "to 24x10 (width x height): shorter, shorter side 11, crop center, bilinear." in text


def test_the_same_answer_of_a_gray_picture(tmp_path: Path) -> None:
    agree(gray_net(), Preprocess(**SIZE, channels="GRAY", mean=(7.0,), std=(3.0,)), tmp_path)


def test_the_same_answer_with_channels_last(tmp_path: Path) -> None:
    agree(planar_net(), Preprocess(**SIZE, **IMAGENET, layout="NHWC"), tmp_path)

"""Break a good NNIE export, and read the finding."""

from collections.abc import Callable
from pathlib import Path

import onnx

from quant.export.caffe.network.files import caffemodel_bytes, parse_caffemodel
from quant.export.nnie.check.run_rules import check_export
from quant.target.deployment import Deployment
from quant.target.finding import Finding
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
    findings = [f for f in check_export(folder, NOTHING) if f.rule == f"nnie-{rule}"]
    (one,) = [f for f in findings if f.severity == severity]
    assert one.mend.endswith(".")
    return one


def says(folder: Path, rule: int, severity: str, place: str, saw: str) -> None:
    finding = broken(folder, rule, severity)

    assert (finding.place, finding.saw) == (place, saw)

"""A network that breaks no rule, its exports, and ways to break it, for the tests of TensorRT."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnx_ir as ir

from quant.export.tensorrt.check.run_rules import check_export
from quant.export.tensorrt.write import write
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.target.deployment import Deployment
from quant.target.finding import Finding
from tests.chosen import chosen, profiled
from tests.models import model, weights


def wide_net() -> onnx.ModelProto:
    """Return a residual block, a Concat, a ConvTranspose and a Gemm, 16 channels or more."""
    return model(
        """g (float[N,3,16,16] input) => (float[N,32] output) {
            [stem] a = Conv<pads=[1,1,1,1]>(input, w1, b1)
            [relu1] b = Relu(a)
            [conv1] c = Conv<pads=[1,1,1,1]>(b, w2, b2)
            [relu2] d = Relu(c)
            [conv2] e = Conv<pads=[1,1,1,1]>(d, w3, b3)
            [add] f = Add(e, b)
            [relu3] h = Relu(f)
            [left] i = Conv(h, w4)
            [join] k = Concat<axis=1>(i, h)
            [mix] l = Conv(k, w5)
            [up] m = ConvTranspose<strides=[2,2]>(l, w6, b6)
            [pool] n = MaxPool<kernel_shape=[2,2], strides=[2,2]>(m)
            [mean] o = GlobalAveragePool(n)
            [flat] p = Flatten(o)
            [fc] output = Gemm<transB=1>(p, w7, b7)
        }""",
        {
            **weights(0, w1=(16, 3, 3, 3), b1=(16,), w2=(16, 16, 3, 3), b2=(16,)),
            **weights(1, w3=(16, 16, 3, 3), b3=(16,), w4=(16, 16, 1, 1), w5=(16, 32, 1, 1)),
            **weights(2, w6=(16, 16, 2, 2), b6=(16,), w7=(32, 16), b7=(32,)),
        },
    )


@cache
def wide() -> tuple[Graph, Plan, Profile]:
    """Return the wide net's graph, plan and profile."""
    graph, plan = chosen(wide_net(), "tensorrt")
    return graph, plan, profiled(graph)


def export(folder: Path, version: str = "10") -> Path:
    """Write the wide net's export and return its folder."""
    graph, plan, profile = wide()
    write(graph, plan, folder, Deployment(profile=profile, versions={"tensorrt": version}))
    return folder


@cache
def _exported(version: str) -> ir.Model:
    with TemporaryDirectory() as folder:
        proto = onnx.load(export(Path(folder), version) / "model.onnx")
    return ir.from_proto(proto)


def good(version: str = "10") -> ir.Model:
    """Return a copy of the wide net's Q/DQ graph, to break."""
    return _exported(version).clone()


def check(broken: ir.Model, version: str = "10") -> list[Finding]:
    """Return what the rules say of a Q/DQ graph of this version."""
    with TemporaryDirectory() as folder:
        ir.save(broken, Path(folder) / "broken.onnx")
        return check_export(
            Path(folder) / "broken.onnx", Deployment(versions={"tensorrt": version})
        )


def node_of(graph: ir.Model, name: str) -> ir.Node:
    """Return a node by name."""
    return next(n for n in graph.graph if n.name == name)


def pair_of(graph: ir.Model, tensor: str) -> list[ir.Node]:
    """Return the quantizers of a tensor, in order."""
    names = [f"{tensor}_QuantizeLinear", f"{tensor}_DequantizeLinear"]
    return [n for n in graph.graph if n.name in names]


def constant_of(graph: ir.Model, name: str, array: np.ndarray) -> ir.Value:  # type: ignore[type-arg]
    """Return a new initializer."""
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    graph.graph.register_initializer(value)
    return value


Q, DQ = "QuantizeLinear", "DequantizeLinear"


def only(findings: list[Finding], number: int) -> list[tuple[str, str, str]]:
    """Return severity, place and sight of one rule's findings."""
    return [(f.severity, f.place, f.saw) for f in findings if f.rule == f"tensorrt-{number}"]


def quantized(graph: ir.Model, reader: str, index: int, scale: float = 0.1) -> list[ir.Node]:
    """Put a new pair of quantizers before an input of a node."""
    node = node_of(graph, reader)
    value = node.inputs[index]
    assert value is not None
    grid = [
        constant_of(graph, f"{reader}{index}_s", np.float32(scale)),
        constant_of(graph, f"{reader}{index}_z", np.int8(0)),
    ]
    first = ir.node(Q, [value, *grid], name=f"{reader}{index}_{Q}")
    first.outputs[0].name = f"{reader}{index}_q"
    second = ir.node(DQ, [first.outputs[0], *grid], name=f"{reader}{index}_{DQ}")
    second.outputs[0].name = f"{reader}{index}_dq"
    graph.graph.insert_before(node, [first, second])
    node.replace_input_with(index, second.outputs[0])
    return [first, second]


def bypassed(graph: ir.Model, reader: str, index: int) -> None:
    """Let a node read the float tensor before a pair of quantizers."""
    node = node_of(graph, reader)
    dequantize = node.inputs[index].producer()  # type: ignore[union-attr]
    quantize = dequantize.inputs[0].producer()  # type: ignore[union-attr]
    node.replace_input_with(index, quantize.inputs[0])  # type: ignore[union-attr]
    if not dequantize.outputs[0].uses():  # type: ignore[union-attr]
        graph.graph.remove([dequantize, quantize], safe=True)  # type: ignore[list-item]

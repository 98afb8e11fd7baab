"""Torch computes a node as ONNX Runtime does, or refuses it."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray

from quant.graph.session import open_session
from quant.improve.fit.torch_operators import OPERATORS, can_run, run_node

CASES: dict[str, tuple[str, list[tuple[int, ...]]]] = {
    "Conv": (
        "Conv<pads=[1,0,2,1], strides=[2,1], dilations=[1,2], group=2>",
        [(2, 4, 9, 9), (6, 2, 3, 3)],
    ),
    "Conv 1d": ("Conv<pads=[1,1]>", [(2, 4, 9), (6, 4, 3)]),
    "Gemm": ("Gemm<transB=1, alpha=0.5, beta=2.0>", [(2, 5), (3, 5), (3,)]),
    "MatMul": ("MatMul", [(2, 3, 5), (5, 4)]),
    "Add": ("Add", [(2, 4, 3, 3), (4, 1, 1)]),
    "Sub": ("Sub", [(2, 4), (4,)]),
    "Mul": ("Mul", [(2, 4), (4,)]),
    "Div": ("Div", [(2, 4), (4,)]),
    "Erf": ("Erf", [(2, 4)]),
    "Softmax": ("Softmax<axis=1>", [(2, 4, 3)]),
    "LayerNormalization": (
        "LayerNormalization<axis=1, epsilon=0.01>",
        [(2, 4, 3), (4, 3), (4, 3)],
    ),
    "LayerNormalization without a bias": ("LayerNormalization", [(2, 4, 3), (3,)]),
    "Relu": ("Relu", [(2, 4)]),
    "Sigmoid": ("Sigmoid", [(2, 4)]),
    "HardSigmoid": ("HardSigmoid<alpha=0.3>", [(2, 4)]),
    "HardSwish": ("HardSwish", [(2, 4)]),
    "LeakyRelu": ("LeakyRelu<alpha=0.2>", [(2, 4)]),
    "Tanh": ("Tanh", [(2, 4)]),
    "Identity": ("Identity", [(2, 4)]),
    "MaxPool": ("MaxPool<kernel_shape=[3,2], strides=[2,2], pads=[1,0,0,1]>", [(2, 4, 8, 8)]),
    "AveragePool": (
        "AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>",
        [(2, 4, 8, 8)],
    ),
    "GlobalAveragePool": ("GlobalAveragePool", [(2, 4, 5, 3)]),
    "Flatten": ("Flatten<axis=2>", [(2, 4, 5, 3)]),
    "Transpose": ("Transpose<perm=[0,2,1]>", [(2, 4, 5)]),
    "Concat": ("Concat<axis=1>", [(2, 4), (2, 3)]),
    "ReduceMean": ("ReduceMean<axes=[2,3], keepdims=0>", [(2, 4, 5, 3)]),
}
"""By name the call, and the shapes of its inputs."""

CONSTANT: dict[str, tuple[str, tuple[int, ...], list[NDArray[Any]]]] = {
    "Clip": ("Clip", (2, 40), [np.array(-0.5, np.float32), np.array(0.7, np.float32)]),
    "Reshape": ("Reshape", (2, 4, 6), [np.array([0, -1, 3])]),
    "Pad": ("Pad", (2, 3, 4, 4), [np.array([0, 1, 0, 2, 0, 3, 1, 0]), np.array(1.5, np.float32)]),
    "Slice": (
        "Slice",
        (2, 8, 9),
        [np.array([-3, 1]), np.array([99, 8]), np.array([1, 2]), np.array([1, 3])],
    ),
}
"""By name the call, the shape of its data, and its constant inputs."""


def built(name: str) -> tuple[ir.Node, list[NDArray[Any]], ir.Model]:
    """Return a node, all its inputs, and a model of it alone."""
    rng = np.random.default_rng(0)
    if name in CONSTANT:
        call, shape, rest = CONSTANT[name]
        data = [rng.normal(size=shape).astype(np.float32)]
    else:
        call, shapes = CASES[name]
        data = [rng.normal(size=s).astype(np.float32) for s in shapes]
        rest = []
    names = [f"x{i}" for i in range(len(data))]
    constants = [f"c{i}" for i in range(len(rest))]
    inputs = ", ".join(
        f"float[{','.join(map(str, d.shape))}] {n}" for n, d in zip(names, data, strict=True)
    )
    proto: onnx.ModelProto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g ({inputs}) => (float[] y) '
        f"{{ y = {call}({', '.join([*names, *constants])}) }}"
    )
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    for n, array in zip(constants, rest, strict=True):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, n))
    model = ir.from_proto(proto)
    return next(iter(model.graph)), [*data, *rest], model


@pytest.mark.parametrize("name", [*CASES, *CONSTANT])
def test_torch_computes_what_onnx_runtime_computes(name: str) -> None:
    """A step that learns from another network than the one that runs would learn nonsense."""
    node, arrays, model = built(name)
    fed = {f"x{i}": a for i, a in enumerate(arrays) if i < len(model.graph.inputs)}
    (wanted,) = open_session(model, threads=1).run(None, fed)

    assert can_run(node)
    made = run_node(node, [torch.from_numpy(a) for a in arrays]).numpy()
    assert made.shape == wanted.shape
    np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-5)


def test_every_operator_is_tried() -> None:
    assert {name.split()[0] for name in [*CASES, *CONSTANT]} == set(OPERATORS)


@pytest.mark.parametrize(
    "call",
    [
        'Conv<auto_pad="SAME_UPPER">(x, w)',
        "MaxPool<kernel_shape=[2,2], ceil_mode=1>(x)",
        "MaxPool<kernel_shape=[2,2], dilations=[2,2]>(x)",
        "AveragePool<kernel_shape=[3,3], pads=[0,0,1,1]>(x)",
        "Resize(x, , s)",
        "Hardmax(x)",
    ],
)
def test_what_torch_would_do_otherwise_is_refused(call: str) -> None:
    """A padding on one side only, or a window beyond the edge, has no equal in torch."""
    proto: onnx.ModelProto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> '
        "g (float[1,3,8,8] x, float[4,3,3,3] w, float[4] s) => (float[] y) { y = " + call + " }"
    )

    assert not can_run(next(iter(ir.from_proto(proto).graph)))

"""Net: a piece of a graph that runs in torch, for gradients; what it cannot run it refuses.

Only the operators of `OPERATORS` are executed, each as ONNX defines it, and a node with an operator
or attribute that is not understood is refused by `can_run`: never run wrongly.
"""

__all__ = ["OPERATORS", "can_run", "run_node"]

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import onnx_ir as ir
import torch
from torch.nn import functional

Tensor: TypeAlias = torch.Tensor
Inputs: TypeAlias = Sequence[Tensor | None]


def _padded(x: Tensor, node: ir.Node, fill: float = 0.0) -> tuple[Tensor, list[int]]:
    """Return the input and its symmetric padding; other padding is put on."""
    rank = x.dim() - 2
    pads = list(node.attributes.get_ints("pads", [0] * (2 * rank)))
    begin, end = pads[:rank], pads[rank:]
    if begin == end:
        return x, begin
    flat = [p for pair in zip(reversed(begin), reversed(end), strict=True) for p in pair]
    return functional.pad(x, flat, value=fill), [0] * rank


def _conv(node: ir.Node, x: Inputs) -> Tensor:
    assert x[0] is not None
    assert x[1] is not None
    data, pads = _padded(x[0], node)
    rank = data.dim() - 2
    call: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
    made: Tensor = call(
        data,
        x[1],
        x[2] if len(x) > 2 else None,
        list(node.attributes.get_ints("strides", [1] * rank)),
        pads,
        list(node.attributes.get_ints("dilations", [1] * rank)),
        node.attributes.get_int("group", 1),
    )
    return made


def _gemm(node: ir.Node, x: Inputs) -> Tensor:
    a, b = x[0], x[1]
    assert a is not None
    assert b is not None
    a = a.T if node.attributes.get_int("transA", 0) else a
    b = b.T if node.attributes.get_int("transB", 0) else b
    made = node.attributes.get_float("alpha", 1.0) * (a @ b)
    if len(x) > 2 and x[2] is not None:
        made = made + node.attributes.get_float("beta", 1.0) * x[2]
    return made


def _clip(node: ir.Node, x: Inputs) -> Tensor:
    assert x[0] is not None
    low = x[1] if len(x) > 1 else None
    high = x[2] if len(x) > 2 else None
    return torch.clamp(x[0], low, high)


def _max_pool(node: ir.Node, x: Inputs) -> Tensor:
    assert x[0] is not None
    data, pads = _padded(x[0], node, -torch.inf)
    kernel = list(node.attributes.get_ints("kernel_shape"))
    strides = list(node.attributes.get_ints("strides", [1] * len(kernel)))
    return functional.max_pool2d(data, kernel, strides, pads)


def _average_pool(node: ir.Node, x: Inputs) -> Tensor:
    assert x[0] is not None
    kernel = list(node.attributes.get_ints("kernel_shape"))
    pads = list(node.attributes.get_ints("pads", [0] * (2 * len(kernel))))
    return functional.avg_pool2d(
        x[0],
        kernel,
        list(node.attributes.get_ints("strides", [1] * len(kernel))),
        pads[: len(kernel)],
        count_include_pad=bool(node.attributes.get_int("count_include_pad", 0)),
    )


def _global_pool(node: ir.Node, x: Inputs) -> Tensor:
    assert x[0] is not None
    return x[0].mean(dim=list(range(2, x[0].dim())), keepdim=True)


def _reshape(node: ir.Node, x: Inputs) -> Tensor:
    assert x[0] is not None
    assert x[1] is not None
    sizes = [int(s) for s in x[1].tolist()]
    sizes = [x[0].shape[i] if s == 0 else s for i, s in enumerate(sizes)]
    return x[0].reshape(sizes)


def _flatten(node: ir.Node, x: Inputs) -> Tensor:
    assert x[0] is not None
    axis = node.attributes.get_int("axis", 1) % (x[0].dim() + 1)
    rows = 1
    for size in x[0].shape[:axis]:
        rows *= size
    return x[0].reshape(rows, -1)


def _binary(call: Callable[[Tensor, Tensor], Tensor]) -> Callable[[ir.Node, Inputs], Tensor]:
    def made(node: ir.Node, x: Inputs) -> Tensor:
        assert x[0] is not None
        assert x[1] is not None
        return call(x[0], x[1])

    return made


def _unary(call: Callable[[Tensor], Tensor]) -> Callable[[ir.Node, Inputs], Tensor]:
    def made(node: ir.Node, x: Inputs) -> Tensor:
        assert x[0] is not None
        return call(x[0])

    return made


def _concat(node: ir.Node, x: Inputs) -> Tensor:
    return torch.cat([v for v in x if v is not None], node.attributes.get_int("axis"))


def _leaky(node: ir.Node, x: Inputs) -> Tensor:
    assert x[0] is not None
    return functional.leaky_relu(x[0], node.attributes.get_float("alpha", 0.01))


def _hard_sigmoid(node: ir.Node, x: Inputs) -> Tensor:
    assert x[0] is not None
    alpha, beta = (node.attributes.get_float(k, v) for k, v in (("alpha", 0.2), ("beta", 0.5)))
    return torch.clamp(alpha * x[0] + beta, 0.0, 1.0)


def _slice(node: ir.Node, x: Inputs) -> Tensor:
    data, starts, ends = x[0], x[1], x[2]
    assert data is not None
    assert starts is not None
    assert ends is not None
    axes = x[3].tolist() if len(x) > 3 and x[3] is not None else range(len(starts))
    steps = x[4].tolist() if len(x) > 4 and x[4] is not None else [1] * len(starts)
    where = [slice(None)] * data.dim()
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps, strict=True):
        where[axis] = slice(start, end, step)  # Python clamps as ONNX does, for a step above 0
    return data[tuple(where)]


def _pad(node: ir.Node, x: Inputs) -> Tensor:
    data, pads = x[0], x[1]
    assert data is not None
    assert pads is not None
    sizes: list[int] = pads.tolist()
    half = len(sizes) // 2
    flat = [sizes[i + side] for i in reversed(range(half)) for side in (0, half)]
    fill = x[2].item() if len(x) > 2 and x[2] is not None else 0.0
    return functional.pad(data, flat, value=fill)


def _reduce_mean(node: ir.Node, x: Inputs) -> Tensor:
    assert x[0] is not None
    axes = node.attributes.get_ints("axes", None)
    if axes is None and len(x) > 1 and x[1] is not None:
        axes = x[1].tolist()
    keep = bool(node.attributes.get_int("keepdims", 1))
    return x[0].mean(dim=list(axes or range(x[0].dim())), keepdim=keep)


def _transpose(node: ir.Node, x: Inputs) -> Tensor:
    assert x[0] is not None
    order = list(range(x[0].dim()))[::-1]
    return x[0].permute(*node.attributes.get_ints("perm", order))


def _softmax(node: ir.Node, x: Inputs) -> Tensor:
    assert x[0] is not None
    return torch.softmax(x[0], node.attributes.get_int("axis", -1))


def _layer_norm(node: ir.Node, x: Inputs) -> Tensor:
    assert x[0] is not None
    axis = node.attributes.get_int("axis", -1) % x[0].dim()
    sizes = list(x[0].shape[axis:])
    scale, bias = (v.expand(sizes) if v is not None else None for v in (*x[1:3], None)[:2])
    return functional.layer_norm(
        x[0], sizes, scale, bias, node.attributes.get_float("epsilon", 1e-5)
    )


OPERATORS: Mapping[str, tuple[Callable[[ir.Node, Inputs], Tensor], frozenset[str]]] = {
    "Conv": (_conv, frozenset({"strides", "pads", "dilations", "group", "kernel_shape"})),
    "Gemm": (_gemm, frozenset({"alpha", "beta", "transA", "transB"})),
    "MatMul": (_binary(torch.matmul), frozenset()),
    "Add": (_binary(torch.add), frozenset()),
    "Sub": (_binary(torch.sub), frozenset()),
    "Mul": (_binary(torch.mul), frozenset()),
    "Div": (_binary(torch.div), frozenset()),
    "Erf": (_unary(torch.erf), frozenset()),
    "Softmax": (_softmax, frozenset({"axis"})),
    "LayerNormalization": (_layer_norm, frozenset({"axis", "epsilon"})),
    "Relu": (_unary(torch.relu), frozenset()),
    "Clip": (_clip, frozenset()),
    "Sigmoid": (_unary(torch.sigmoid), frozenset()),
    "HardSigmoid": (_hard_sigmoid, frozenset({"alpha", "beta"})),
    "HardSwish": (_unary(functional.hardswish), frozenset()),
    "LeakyRelu": (_leaky, frozenset({"alpha"})),
    "Tanh": (_unary(torch.tanh), frozenset()),
    "Identity": (_unary(torch.clone), frozenset()),
    "MaxPool": (_max_pool, frozenset({"kernel_shape", "strides", "pads"})),
    "AveragePool": (
        _average_pool,
        frozenset({"kernel_shape", "strides", "pads", "count_include_pad"}),
    ),
    "GlobalAveragePool": (_global_pool, frozenset()),
    "Flatten": (_flatten, frozenset({"axis"})),
    "Reshape": (_reshape, frozenset()),
    "Slice": (_slice, frozenset()),
    "Pad": (_pad, frozenset()),
    "ReduceMean": (_reduce_mean, frozenset({"axes", "keepdims"})),
    "Transpose": (_transpose, frozenset({"perm"})),
    "Concat": (_concat, frozenset({"axis"})),
}
"""By type how a node runs, and the attributes that are understood."""

DEFAULTS: Mapping[str, tuple[Any, ...]] = {
    "auto_pad": ("NOTSET",),
    "ceil_mode": (0,),
    "storage_order": (0,),
    "allowzero": (0,),
    "mode": ("constant",),
    "noop_with_empty_axes": (0,),
    "stash_type": (1,),
}
"""Further attributes that change nothing while they have these values."""


def can_run(node: ir.Node) -> bool:
    """Tell whether torch computes a node as ONNX defines it."""
    known = OPERATORS.get(node.op_type)
    if known is None or node.domain not in ("", "ai.onnx") or len(node.outputs) != 1:
        return False
    for name, attribute in node.attributes.items():
        plain = name in DEFAULTS and attribute.value in DEFAULTS[name]
        dilated = name == "dilations" and all(d == 1 for d in attribute.as_ints())
        if name not in known[1] and not plain and not dilated:
            return False
    if node.op_type in ("Conv", "MaxPool", "AveragePool"):
        return _pools(node)
    if node.op_type in ("Reshape", "Slice", "Pad", "ReduceMean"):
        return all(v is None or v.is_initializer() for v in node.inputs[1:]) and _steps(node)
    return True


def _steps(node: ir.Node) -> bool:
    """Tell whether a Slice goes forward, which torch can, and whether a Pad names no axes."""
    if node.op_type == "Pad":
        return 1 < len(node.inputs) < 4
    if node.op_type != "Slice" or len(node.inputs) < 5 or node.inputs[4] is None:
        return node.op_type != "Slice" or len(node.inputs) > 2
    known = node.inputs[4].const_value
    return known is not None and bool((known.numpy() > 0).all())


def _pools(node: ir.Node) -> bool:
    """Tell whether the rank and the padding are such that torch has the same window."""
    value = node.inputs[0]
    rank = len(value.shape) - 2 if value is not None and value.shape is not None else 0
    pads = list(node.attributes.get_ints("pads", [0, 0]))
    if any(p < 0 for p in pads):
        return False
    if node.op_type == "Conv":
        return 1 <= rank <= 3
    half = len(pads) // 2
    kernel = list(node.attributes.get_ints("kernel_shape"))
    even = pads[:half] == pads[half:] and all(
        2 * p <= k for p, k in zip(pads[:half], kernel, strict=False)
    )
    return rank == 2 and (even or node.op_type == "MaxPool")


def run_node(node: ir.Node, inputs: Inputs) -> Tensor:
    """Return a node's output; `can_run` must be true of it."""
    return OPERATORS[node.op_type][0](node, inputs)

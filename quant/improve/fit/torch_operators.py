"""Nodes of a graph that run in torch, for gradients; what torch cannot run is refused.

Only the operators of `OPERATORS` are executed, each as ONNX defines it, and `can_run` refuses a node
with an operator or attribute that is not understood: no node is ever run wrongly.
"""

__all__ = ["OPERATORS", "can_run", "run_node"]

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import onnx_ir as ir
import torch
from torch.nn import functional

from quant.graph.layers import data_input, optional_input

Tensor: TypeAlias = torch.Tensor
Operator: TypeAlias = Callable[..., Tensor]
"""Takes the node and its inputs, in their order; one that is left out is None."""


def _padded(x: Tensor, node: ir.Node, fill: float = 0.0) -> tuple[Tensor, list[int]]:
    """Return the input, padded where its padding is not symmetric, and the padding that is left."""
    rank = x.dim() - 2
    pads = list(node.attributes.get_ints("pads", [0] * (2 * rank)))
    begin, end = pads[:rank], pads[rank:]
    if begin == end:
        return x, begin
    flat = [p for pair in zip(reversed(begin), reversed(end), strict=True) for p in pair]
    return functional.pad(x, flat, value=fill), [0] * rank


def _conv(node: ir.Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x, pads = _padded(x, node)
    rank = x.dim() - 2
    convolution: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
    result: Tensor = convolution(
        x,
        weight,
        bias,
        list(node.attributes.get_ints("strides", [1] * rank)),
        pads,
        list(node.attributes.get_ints("dilations", [1] * rank)),
        node.attributes.get_int("group", 1),
    )
    return result


def _gemm(node: ir.Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.T if node.attributes.get_int("transA", 0) else a
    b = b.T if node.attributes.get_int("transB", 0) else b
    product = node.attributes.get_float("alpha", 1.0) * (a @ b)
    return product if c is None else product + node.attributes.get_float("beta", 1.0) * c


def _clip(
    node: ir.Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None
) -> Tensor:
    return torch.clamp(x, low, high)


def _max_pool(node: ir.Node, x: Tensor) -> Tensor:
    x, pads = _padded(x, node, -torch.inf)
    kernel = list(node.attributes.get_ints("kernel_shape"))
    strides = list(node.attributes.get_ints("strides", [1] * len(kernel)))
    return functional.max_pool2d(x, kernel, strides, pads)


def _average_pool(node: ir.Node, x: Tensor) -> Tensor:
    kernel = list(node.attributes.get_ints("kernel_shape"))
    pads = list(node.attributes.get_ints("pads", [0] * (2 * len(kernel))))
    return functional.avg_pool2d(
        x,
        kernel,
        list(node.attributes.get_ints("strides", [1] * len(kernel))),
        pads[: len(kernel)],
        count_include_pad=bool(node.attributes.get_int("count_include_pad", 0)),
    )


def _global_pool(node: ir.Node, x: Tensor) -> Tensor:
    return x.mean(dim=list(range(2, x.dim())), keepdim=True)


def _reshape(node: ir.Node, x: Tensor, shape: Tensor) -> Tensor:
    sizes = [int(s) for s in shape.tolist()]
    return x.reshape([x.shape[i] if s == 0 else s for i, s in enumerate(sizes)])


def _flatten(node: ir.Node, x: Tensor) -> Tensor:
    axis = node.attributes.get_int("axis", 1) % (x.dim() + 1)
    rows = 1
    for size in x.shape[:axis]:
        rows *= size
    return x.reshape(rows, -1)


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def run(node: ir.Node, a: Tensor, b: Tensor) -> Tensor:
        return function(a, b)

    return run


def _unary(function: Callable[[Tensor], Tensor]) -> Operator:
    def run(node: ir.Node, x: Tensor) -> Tensor:
        return function(x)

    return run


def _concat(node: ir.Node, *parts: Tensor) -> Tensor:
    return torch.cat(parts, node.attributes.get_int("axis"))


def _leaky(node: ir.Node, x: Tensor) -> Tensor:
    return functional.leaky_relu(x, node.attributes.get_float("alpha", 0.01))


def _hard_sigmoid(node: ir.Node, x: Tensor) -> Tensor:
    alpha, beta = (node.attributes.get_float(k, v) for k, v in (("alpha", 0.2), ("beta", 0.5)))
    return torch.clamp(alpha * x + beta, 0.0, 1.0)


def _slice(
    node: ir.Node,
    x: Tensor,
    starts: Tensor,
    ends: Tensor,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    along = range(len(starts)) if axes is None else axes.tolist()
    strides = [1] * len(starts) if steps is None else steps.tolist()
    window = [slice(None)] * x.dim()
    for axis, start, end, step in zip(along, starts.tolist(), ends.tolist(), strides, strict=True):
        window[axis] = slice(start, end, step)  # Python clamps as ONNX does, for a step above 0
    return x[tuple(window)]


def _pad(node: ir.Node, x: Tensor, pads: Tensor, value: Tensor | None = None) -> Tensor:
    sizes: list[int] = pads.tolist()
    half = len(sizes) // 2
    flat = [sizes[i + side] for i in reversed(range(half)) for side in (0, half)]
    return functional.pad(x, flat, value=0.0 if value is None else value.item())


def _reduce_mean(node: ir.Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    over = node.attributes.get_ints("axes", None)
    if over is None and axes is not None:
        over = axes.tolist()
    keep = bool(node.attributes.get_int("keepdims", 1))
    return x.mean(dim=list(over or range(x.dim())), keepdim=keep)


def _transpose(node: ir.Node, x: Tensor) -> Tensor:
    order = list(range(x.dim()))[::-1]
    return x.permute(*node.attributes.get_ints("perm", order))


def _softmax(node: ir.Node, x: Tensor) -> Tensor:
    return torch.softmax(x, node.attributes.get_int("axis", -1))


def _layer_norm(node: ir.Node, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    axis = node.attributes.get_int("axis", -1) % x.dim()
    sizes = list(x.shape[axis:])
    wide = bias.expand(sizes) if bias is not None else None
    epsilon = node.attributes.get_float("epsilon", 1e-5)
    return functional.layer_norm(x, sizes, scale.expand(sizes), wide, epsilon)


OPERATORS: Mapping[str, tuple[Operator, frozenset[str]]] = {
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
    """Return whether torch computes a node as ONNX defines it."""
    operator = OPERATORS.get(node.op_type)
    if operator is None or node.domain not in ("", "ai.onnx") or len(node.outputs) != 1:
        return False
    for name, attribute in node.attributes.items():
        default = name in DEFAULTS and attribute.value in DEFAULTS[name]
        undilated = name == "dilations" and all(d == 1 for d in attribute.as_ints())
        if name not in operator[1] and not default and not undilated:
            return False
    if node.op_type in ("Conv", "MaxPool", "AveragePool"):
        return _same_window(node)
    if node.op_type in ("Reshape", "Slice", "Pad", "ReduceMean"):
        constant = all(v is None or v.is_initializer() for v in node.inputs[1:])
        return constant and _same_slice(node)
    return True


def _same_slice(node: ir.Node) -> bool:
    """Return whether a Slice goes forward, as torch's does, and whether a Pad names no axes."""
    if node.op_type == "Pad":
        return 1 < len(node.inputs) < 4
    if node.op_type != "Slice":
        return True
    steps = optional_input(node, 4)
    if steps is None:
        return len(node.inputs) > 2
    return steps.const_value is not None and bool((steps.const_value.numpy() > 0).all())


def _same_window(node: ir.Node) -> bool:
    """Return whether torch has windows of this rank and padding."""
    shape = data_input(node, 0).shape
    rank = len(shape) - 2 if shape is not None else 0
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


def run_node(node: ir.Node, inputs: Sequence[Tensor | None]) -> Tensor:
    """Return a node's output; `can_run` must be true of it."""
    return OPERATORS[node.op_type][0](node, *inputs)

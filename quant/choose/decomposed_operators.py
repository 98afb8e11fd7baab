"""The nodes that older exporters write for one LayerNorm or GELU, which stay float.

Runtimes fuse them to one float kernel (ONNX Runtime: LayerNormFusion, GeluFusion; TensorRT: Myelin),
which a quantizer inside prevents; and the squares and cubes inside need twice and three times the
bits of what goes in. NVIDIA's ModelOpt leaves the same partitions out of quantization.
"""

__all__ = ["decomposed_operators"]

from collections.abc import Iterable

import onnx_ir as ir

LAYERNORM, GELU = "it is a part of a LayerNorm", "it is a part of a GELU"

MAX_NODES = 8
"""Nodes between what a GELU reads and its Erf or Tanh; the cube as two products has 6."""


def decomposed_operators(nodes: Iterable[ir.Node]) -> dict[str, str]:
    """Return the reason to stay float by the name of each node that is a part of such an operator.

    LayerNorm and RMSNorm: the mean of squares, written as Pow or Mul, to the Div or Mul that divides
    by its root, with the scale and shift behind. GELU: from what it reads to the product with
    1 + Erf or 1 + Tanh, and a half.
    """
    reasons: dict[str, str] = {}
    for node in nodes:
        if node.op_type == "ReduceMean":
            reasons.update(dict.fromkeys(_layernorm(node), LAYERNORM))
        elif node.op_type in ("Erf", "Tanh"):
            reasons.update(dict.fromkeys(_gelu(node), GELU))
    return reasons


def _layernorm(mean: ir.Node) -> list[str]:
    """Return the parts around the mean of squares; none if it is another mean."""
    square = _maker(mean.inputs[0])
    if square is None or not _squares(square):
        return []
    parts, centered = [square, mean], square.inputs[0]
    middle = _maker(centered)
    if middle is not None and middle.op_type == "Sub":
        level = _maker(middle.inputs[1])
        if level is not None and level.op_type == "ReduceMean":
            parts += [level, middle]
    node: ir.Node | None = mean
    while node is not None:
        node = _reader(node, ("Add", "Sqrt", "Pow", "Reciprocal", "Div", "Mul"))
        if node is None:
            return []
        parts.append(node)
        if node.op_type in ("Div", "Mul") and centered in node.inputs:
            break
    for op in ("Mul", "Add"):
        behind = _reader(node, (op,)) if node is not None else None
        if behind is not None and _constant(behind):
            parts.append(behind)
            node = behind
    return [str(node.name) for node in parts]


def _gelu(function: ir.Node) -> list[str]:
    """Return the parts around an Erf or Tanh; none if it is by itself."""
    plus = _reader(function, ("Add",))
    product = _reader(plus, ("Mul",)) if plus is not None and _constant(plus) else None
    if plus is None or product is None:
        return []
    parts = [function, plus, product]
    if _constant(product):  # half of 1 + Erf, before the product with x
        product = _reader(product, ("Mul",))
        if product is None:
            return []
        parts.append(product)
    half = _reader(product, ("Mul",))
    if half is not None and _constant(half):
        parts.append(half)
    before = _between(function, _ends(product, parts))
    return [str(node.name) for node in (*parts, *before)] if before is not None else []


def _ends(product: ir.Node, parts: list[ir.Node]) -> dict[ir.Value, list[ir.Node]]:
    """Return what a GELU may read, and for each the node between it and the last product."""
    ends: dict[ir.Value, list[ir.Node]] = {}
    for value in product.inputs:
        maker = _maker(value)
        if value is None or maker in parts:
            continue
        ends[value] = []
        if maker is not None and maker.op_type == "Mul" and _constant(maker):
            ends.update({v: [maker] for v in maker.inputs if v is not None and _varies(v)})
    return ends


def _between(function: ir.Node, ends: dict[ir.Value, list[ir.Node]]) -> list[ir.Node] | None:
    """Return the nodes from one of `ends` to a curve; None where something else comes in."""
    nodes: list[ir.Node] = []
    queue = [function.inputs[0]]
    while queue:
        value = queue.pop()
        if value is None or not _varies(value):
            continue
        maker = _maker(value)
        if value in ends:
            nodes += [node for node in ends[value] if node not in nodes]
            continue
        if (
            maker is None
            or maker.op_type not in ("Mul", "Div", "Add", "Pow")
            or len(nodes) > MAX_NODES
        ):
            return None
        if maker not in nodes:
            nodes.append(maker)
            queue += maker.inputs
    return nodes


def _varies(value: ir.Value) -> bool:
    return not value.is_initializer()


def _squares(node: ir.Node) -> bool:
    """Return whether a node squares its input."""
    if node.op_type == "Mul":
        return node.inputs[0] is node.inputs[1]
    power = node.inputs[1].const_value if node.op_type == "Pow" and node.inputs[1] else None
    return power is not None and power.size == 1 and float(power.numpy().reshape(-1)[0]) == 2.0


def _maker(value: ir.Value | None) -> ir.Node | None:
    return value.producer() if value is not None else None


def _reader(node: ir.Node, ops: tuple[str, ...]) -> ir.Node | None:
    """Return the only reader of a node's output, if it is one of these operators."""
    uses = tuple(node.outputs[0].uses())
    reader = uses[0].node if len(uses) == 1 else None
    return reader if reader is not None and reader.op_type in ops else None


def _constant(node: ir.Node) -> bool:
    """Return whether an operand is a constant."""
    return any(v is not None and v.is_initializer() for v in node.inputs)

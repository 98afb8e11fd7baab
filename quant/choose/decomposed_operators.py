"""Curves: the nodes that older exporters write for one LayerNorm or GELU.

Runtimes fuse them to one float kernel (ONNX Runtime: LayerNormFusion, GeluFusion; TensorRT: Myelin),
which a quantizer inside prevents; and the squares and cubes inside need twice and three times the
bits of what goes in. NVIDIA's ModelOpt leaves the same partitions out of quantization.
"""

__all__ = ["decomposed_operators"]

from collections.abc import Iterable

import onnx_ir as ir

LAYERNORM, GELU = "it is a part of a LayerNorm", "it is a part of a GELU"

MOST = 8
"""Nodes between what a GELU reads and its Erf or Tanh; the cube as two products has 6."""


def decomposed_operators(nodes: Iterable[ir.Node]) -> dict[str, str]:
    """Return by node name of what it is a part.

    LayerNorm and RMSNorm: the mean of squares, written as Pow or Mul, to the Div or Mul that divides
    by its root, with the scale and shift behind. GELU: from what it reads to the product with
    1 + Erf or 1 + Tanh, and a half.
    """
    found: dict[str, str] = {}
    for node in nodes:
        if node.op_type == "ReduceMean":
            found.update(dict.fromkeys(_layernorm(node), LAYERNORM))
        elif node.op_type in ("Erf", "Tanh"):
            found.update(dict.fromkeys(_gelu(node), GELU))
    return found


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
    at: ir.Node | None = mean
    while at is not None:
        at = _reader(at, ("Add", "Sqrt", "Pow", "Reciprocal", "Div", "Mul"))
        if at is None:
            return []
        parts.append(at)
        if at.op_type in ("Div", "Mul") and centered in at.inputs:
            break
    for op in ("Mul", "Add"):
        behind = _reader(at, (op,)) if at is not None else None
        if behind is not None and _constant(behind):
            parts.append(behind)
            at = behind
    return [str(node.name) for node in parts]


def _gelu(curve: ir.Node) -> list[str]:
    """Return the parts around an Erf or Tanh; none if it is by itself."""
    plus = _reader(curve, ("Add",))
    product = _reader(plus, ("Mul",)) if plus is not None and _constant(plus) else None
    if plus is None or product is None:
        return []
    parts = [curve, plus, product]
    if _constant(product):  # half of 1 + Erf, before the product with x
        product = _reader(product, ("Mul",))
        if product is None:
            return []
        parts.append(product)
    half = _reader(product, ("Mul",))
    if half is not None and _constant(half):
        parts.append(half)
    before = _between(curve, _ends(product, parts))
    return [str(node.name) for node in (*parts, *before)] if before is not None else []


def _ends(product: ir.Node, parts: list[ir.Node]) -> dict[ir.Value, list[ir.Node]]:
    """Return what a GELU may read, and for each the node between it and the last product."""
    found: dict[ir.Value, list[ir.Node]] = {}
    for value in product.inputs:
        maker = _maker(value)
        if value is None or maker in parts:
            continue
        found[value] = []
        if maker is not None and maker.op_type == "Mul" and _constant(maker):
            found.update({v: [maker] for v in maker.inputs if v is not None and _varies(v)})
    return found


def _between(curve: ir.Node, ends: dict[ir.Value, list[ir.Node]]) -> list[ir.Node] | None:
    """Return the nodes from one of `ends` to a curve; None where something else comes in."""
    found: list[ir.Node] = []
    left = [curve.inputs[0]]
    while left:
        value = left.pop()
        if value is None or not _varies(value):
            continue
        maker = _maker(value)
        if value in ends:
            found += [node for node in ends[value] if node not in found]
            continue
        if maker is None or maker.op_type not in ("Mul", "Div", "Add", "Pow") or len(found) > MOST:
            return None
        if maker not in found:
            found.append(maker)
            left += maker.inputs
    return found


def _varies(value: ir.Value) -> bool:
    return not value.is_initializer()


def _squares(node: ir.Node) -> bool:
    """Tell whether a node squares its input."""
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
    """Tell whether an operand is a constant."""
    return any(v is not None and v.is_initializer() for v in node.inputs)

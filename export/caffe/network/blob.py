"""A blob, Caffe's tensor, with the operations that are still to be written as layers."""

__all__ = ["F64", "Blob", "Refusal", "constant", "finding", "shape_of", "to_4d"]

from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.export.caffe.network.shapes import Shape
from quant.target.finding import Finding


class Refusal(Exception):
    """A node or layer that has no form in NNIE's Caffe.

    Args:
        rule: Number of the rule of `quant check` that it would break.
        saw: The form that the graph has.
        wanted: The form that NNIE takes.
        mend: The fix, in one sentence.
    """

    def __init__(self, rule: int, saw: str, wanted: str, mend: str) -> None:
        super().__init__(saw)
        self.rule, self.saw, self.wanted, self.mend = rule, saw, wanted, mend


def finding(refusal: Refusal, place: str, layer: str | None = None) -> Finding:
    """Return the finding about a place: "node 'conv1'"."""
    return Finding(
        rule=f"nnie-{refusal.rule}",
        severity="error",
        place=place,
        saw=refusal.saw,
        wanted=refusal.wanted,
        mend=refusal.mend,
        layer=layer,
    )


F64: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob, and what is pending: a factor, a swap of channels, padding.

    Attributes:
        name: Its name in the prototxt.
        shape: Its shape in Caffe; the first length is 1.
        factor: float64 `[C]` that each channel is still to be multiplied by; None for 1.
        swapped: The channels are still to be put into reverse order, before `factor`.
        pads: Top, left, bottom, right: elements of `fill` that are still to be put around it; they
            are not part of `shape`.
        fill: Value of the padding: 0 or minus infinity.
    """

    name: str
    shape: Shape
    factor: NDArray[np.float64] | None = None
    swapped: bool = False
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    fill: float = 0.0

    @property
    def done(self) -> bool:
        """Nothing is pending."""
        return self.factor is None and not self.swapped and not any(self.pads)


def shape_of(value: ir.Value | None) -> Shape:
    """Return a tensor's shape; raises Refusal where a length is not known."""
    sizes = list(value.shape) if value is not None and value.shape is not None else [None]
    fixed = tuple(int(d) for d in sizes if isinstance(d, int))
    if len(fixed) != len(sizes):
        raise Refusal(
            2,
            f"tensor '{value.name if value is not None else ''}' of a shape that is not fixed",
            "fixed lengths",
            "Give every input a size, or export the model with fixed shapes.",
        )
    return fixed


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """Return a constant's numbers, or None for a tensor that depends on the input."""
    if value is None or not value.is_initializer() or value.const_value is None:
        return None
    return value.const_value.numpy()


def to_4d(shape: Shape) -> Shape:
    """Return a shape in 4-D: axes keep their index, ones follow; a fifth axis joins the fourth.

    >>> to_4d((1, 8)), to_4d((1, 8, 2)), to_4d((5, 6)), to_4d((1, 2, 3, 4, 5))
    ((1, 8, 1, 1), (1, 8, 2, 1), (1, 5, 6, 1), (1, 2, 3, 20))
    """
    body = shape[1:] if shape[:1] == (1,) else shape
    if len(body) > 3:
        body = (*body[:2], prod(body[2:]))
    return (1, *body, *(1,) * (3 - len(body)))

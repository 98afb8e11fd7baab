"""Blob: what Caffe calls a tensor, with what the layer that reads it has yet to do."""

__all__ = ["F64", "Blob", "Refusal", "Shape", "constant", "finding", "lifted", "shape_of"]

from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.target.finding import Finding


class Refusal(Exception):
    """What a converter saw that NNIE's Caffe cannot say.

    Args:
        rule: Number of the lint rule that it would break.
        saw: What is there.
        wanted: What NNIE takes.
        mend: One sentence: what to do.
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


Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob by name.

    Attributes:
        name: In the prototxt.
        shape: As Caffe sees it; the first length is 1.
        factor: float64 `[C]`, each channel still has to be multiplied by it; None for 1.
        swapped: The channels still have to be put into reverse order, before `factor`.
        pads: Top, left, bottom, right: elements of `fill` still to be put around it, not in `shape`.
        fill: 0, or minus infinity.
    """

    name: str
    shape: Shape
    factor: NDArray[np.float64] | None = None
    swapped: bool = False
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    fill: float = 0.0

    @property
    def done(self) -> bool:
        """Nothing is left to do."""
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
    """Return a constant's numbers, or None for what depends on the input."""
    if value is None or not value.is_initializer() or value.const_value is None:
        return None
    return value.const_value.numpy()


def lifted(shape: Shape) -> Shape:
    """Return a shape in 4-D: axes keep their index, ones go behind; a fifth joins the fourth.

    >>> lifted((1, 8)), lifted((1, 8, 2)), lifted((5, 6)), lifted((1, 2, 3, 4, 5))
    ((1, 8, 1, 1), (1, 8, 2, 1), (1, 5, 6, 1), (1, 2, 3, 20))
    """
    body = shape[1:] if shape[:1] == (1,) else shape
    if len(body) > 3:
        body = (*body[:2], prod(body[2:]))
    return (1, *body, *(1,) * (3 - len(body)))

"""Target: what a runtime can execute, as a table with its source.

To add one: a file in `export/` that adds a `Target` to `TARGETS`. `tests/contracts` tries it.
"""

__all__ = ["TARGETS", "Exported", "Target"]

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from quant.formats import Integer
from quant.graph import Graph
from quant.plan import Plan
from quant.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What a writer left in the target's folder.

    Attributes:
        files: What was written, relative to the folder, main file first.
        facts: Measured properties for `run.json`, JSON values only.
    """

    files: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One runtime as a table.

    Attributes:
        name: As on the command line.
        title: As people write it.
        activation: The format of activations.
        weight: The format of weights; the axis is set for each operator.
        bias: The format of biases, at scale input * weight; None leaves them float.
        weighted: Operators with an integer kernel for a constant weight.
        others: Operators without weight that have an integer kernel: quantized inputs and output.
        views: Operators through which the integers pass unchanged: one grid for input and output.
        joined: Operators all of whose quantized inputs and output need one grid (Concat).
        outputs: Weighted operators whose kernel can only give integers, so that the output needs a
            quantizer even where a float operator reads it.
        quantizers: "producer": a tensor is quantized where it is made and every reader sees the
            integers. "reader": only integer layers see them.
        residual: An Add fuses into the convolution before it: quantize only the other operand.
        weight_form: "integer": int8 weight and DequantizeLinear; "float": float weight, Q, DQ.
        source: Where the table comes from.
        write: Writes the target's own files: (graph, plan, folder) -> Exported.
        native: The ONNX Runtime at hand is the target itself, so that `model.onnx` can be run.
    """

    name: str
    title: str
    activation: Integer
    weight: Integer
    bias: Integer | None
    weighted: frozenset[str]
    others: frozenset[str]
    views: frozenset[str]
    joined: frozenset[str]
    outputs: frozenset[str]
    quantizers: Literal["producer", "reader"]
    residual: bool
    weight_form: Literal["integer", "float"]
    source: str
    write: Callable[[Graph, Plan, Path], Exported]
    native: bool = False


TARGETS: Registry[Target] = Registry("target", "quant.export")

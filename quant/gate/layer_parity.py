"""Verify: a simulation against a runtime, layer by layer, in the integers that both compute.

A quantizer's own output is asked for, on both sides: int8 numbers, so that two of them are equal, or
off by one step, or by more, and no tolerance is needed. Asking for a quantizer's output leaves
ONNX Runtime's integer kernels as they are, for that output is what a fused kernel writes.
"""

__all__ = ["LayerParity", "count_steps", "parity_csv", "quantizer_outputs"]

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.graph.prepared_graph import named_values
from quant.plan.tensor_plans import Plan

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerParity:
    """One layer's output in a runtime against the simulation's.

    Attributes:
        layer: The layer that makes the tensor; the tensor's own name for a graph input.
        tensor: In the prepared graph.
        elements: How many were compared.
        off_by_one: How many differ by one step.
        off_by_more: How many differ by more.
        largest: The greatest difference in steps.
    """

    layer: str
    tensor: str
    elements: int
    off_by_one: int
    off_by_more: int
    largest: int

    @property
    def share(self) -> float:
        """The share of elements that differ at all, 0 to 1."""
        return (self.off_by_one + self.off_by_more) / max(self.elements, 1)


def quantizer_outputs(model: ir.Model, plan: Plan) -> dict[str, str]:
    """Return for each activation of the plan the name of its quantizer's output in a model.

    Tensors that the model's nodes do not quantize are left out: weights, and what was folded.
    """
    values = named_values(model)
    found = {}
    for tensor in plan.quantized:
        for name in (tensor.tensor, f"{tensor.tensor}_float"):
            value = values.get(name)
            uses = list(value.uses()) if value is not None and tensor.kind == "activation" else []
            made = [u.node for u in uses if u.node.op_type == "QuantizeLinear" and u.idx == 0]
            if len(made) == 1:
                found[tensor.tensor] = str(made[0].outputs[0].name)
    return found


def count_steps(a: Array, b: Array) -> tuple[int, int, int]:
    """Return how many integers differ by one, how many by more, and the greatest difference."""
    away = np.abs(a.astype(np.int64) - b.astype(np.int64))
    one = int(np.count_nonzero(away == 1))
    return one, int(np.count_nonzero(away)) - one, int(away.max(initial=0))


def parity_csv(rows: Sequence[LayerParity]) -> str:
    """Return `verify.csv`: a header and a row a layer."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [f.name for f in fields(LayerParity)]
    writer.writerow(names)
    writer.writerows([[_cell(getattr(row, n)) for n in names] for row in rows])
    return out.getvalue()


def _cell(value: object) -> str:
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text

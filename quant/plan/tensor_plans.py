"""A plan: for every tensor its number format and params, or float, with the reason.

`quant/plan/file.py` writes it as JSON that a person can print, compare, edit and give back.
"""

__all__ = ["LayerPlan", "Plan", "TensorKind", "TensorPlan", "tensor_key"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quant.formats.number_format import GridParams, NumberFormat
from quant.formats.precision import Precision

F32 = NDArray[np.float32]

TensorKind: TypeAlias = Literal["activation", "weight"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPlan:
    """One tensor's grid, the nodes that read it there, and the reason.

    Attributes:
        tensor: The value's name in the prepared graph.
        kind: "activation" or "weight".
        format: The format; None leaves the tensor float.
        params: The measured numbers of its grid; None exactly when `format` is.
        readers: `(node, input index)` of the nodes that read the integers; None for every reader.
        because: The reason, one phrase.
    """

    tensor: str
    kind: TensorKind
    format: NumberFormat | None
    params: GridParams | None
    readers: tuple[tuple[str, int], ...] | None = None
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """One layer's precision, and the reason for it."""

    layer: str
    op: str
    precision: Precision
    because: str

    def __post_init__(self) -> None:
        """Read a name such as "int8" as a precision, refusing what is none."""
        object.__setattr__(self, "precision", Precision(self.precision))

    @property
    def quantized(self) -> bool:
        """Whether it computes on grids that were measured, and not in plain floats."""
        return self.precision.quantized


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The precision of every layer and the grid of every tensor, for one target and graph.

    Attributes:
        target: Name of the target.
        graph: Fingerprint of the prepared graph.
        layers: By node name, in topological order.
        tensors: In topological order, weights behind the activations; by tensor name, or by
            `tensor_key` where readers of one tensor see different grids.
        bias_shifts: By node name float32 `[K]`, what is added to a layer's bias: it takes back the mean
            error that rounding the weights makes.
    """

    target: str
    graph: str
    layers: Mapping[str, LayerPlan] = field(repr=False)
    tensors: Mapping[str, TensorPlan] = field(repr=False)
    bias_shifts: Mapping[str, F32] = field(default_factory=dict, repr=False)

    @property
    def quantized(self) -> list[TensorPlan]:
        """The tensors that have a grid."""
        return [t for t in self.tensors.values() if t.params is not None]

    def grid(self, tensor: str, reader: str) -> TensorPlan | None:
        """Return the grid on which a node sees a tensor, or None where it sees the floats."""
        for tensor_plan in self._by_tensor.get(tensor, ()):
            if tensor_plan.readers is None or any(
                name == reader for name, _ in tensor_plan.readers
            ):
                return tensor_plan
        return None

    @cached_property
    def _by_tensor(self) -> dict[str, list[TensorPlan]]:
        by_tensor: dict[str, list[TensorPlan]] = {}
        for tensor in self.quantized:
            by_tensor.setdefault(tensor.tensor, []).append(tensor)
        return by_tensor


def tensor_key(tensor: TensorPlan, taken: Mapping[str, Any]) -> str:
    """Return the key of a tensor: its name, or "name for reader" where another grid of it has that.

    A key that another tensor has, for names may be anything, gets a "_".
    """
    key = tensor.tensor
    if tensor.readers and key in taken and taken[key].tensor == key:
        key = f"{key} for {tensor.readers[0][0]}"
    while key in taken and taken[key].tensor != tensor.tensor:
        key += "_"
    return key

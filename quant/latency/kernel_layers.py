"""Kernel place: which layer of a graph a runtime's kernel belongs to, read off its numbered names."""

__all__ = ["Spent", "mapped_share", "placed"]

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quant.latency.kernel import KernelTime
from quant.latency.numbered_nodes import Mark, marked

FORMS = frozenset(
    {
        *("QuantizeLinear", "DequantizeLinear", "ReorderInput", "ReorderOutput"),
        *("FakeQuantize", "Reorder", "Convert"),
    }
)
"""Kernels that only change the form of numbers, of ONNX Runtime and of OpenVINO."""


def mapped_share(times: Iterable[KernelTime]) -> float:
    """Return the share of the time that belongs to a layer or to a conversion, 0 to 1."""
    spent = [(placed(kernel)[0], kernel.milliseconds) for kernel in times]
    total = sum(ms for _, ms in spent)
    return sum(ms for kind, ms in spent if kind != "unknown") / total if total else 1.0


def placed(kernel: KernelTime) -> tuple[str, Mark | None]:
    """Return "layer", "form" or "unknown", and whose: a form is that of the numbers a layer makes."""
    own = marked(kernel.names)
    mark = own or marked(kernel.tensors)
    wrote = own is not None and own.kind == "layer"
    if kernel.op in FORMS or (kernel.op == "Transpose" and not wrote):
        return "form", mark
    if mark is None:
        return "unknown", None
    return ("layer" if mark.kind == "layer" else "form"), mark


@dataclass(frozen=True)
class Spent:
    """Where the time of one model went, in milliseconds of one inference.

    Attributes:
        layers: By index of the layer.
        forms: By whose numbers change their form: the mark of a tensor or an input; None where it
            is not known.
    """

    layers: Mapping[int, float]
    forms: Mapping[Mark | None, float]

    @classmethod
    def of(cls, times: Iterable[KernelTime]) -> "Spent":
        """Return it for the kernels of a model."""
        own: dict[int, float] = defaultdict(float)
        forms: dict[Mark | None, float] = defaultdict(float)
        for kernel in times:
            kind, mark = placed(kernel)
            if kind == "layer" and mark is not None:
                own[mark.index] += kernel.milliseconds
            elif kind == "form" and mark is not None and mark.kind == "layer":
                forms[Mark("tensor", mark.index)] += kernel.milliseconds
            elif kind == "form":
                forms[mark] += kernel.milliseconds
        return cls(own, forms)

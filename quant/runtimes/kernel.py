"""Kernel: one thing that a runtime executes, and what it takes."""

__all__ = ["Feeds", "KernelTime", "least"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

Feeds: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelTime:
    """One kernel of a runtime.

    Attributes:
        op: As the runtime calls it: "QLinearConv", "Reorder".
        names: Of the node, and of those that were fused into it.
        tensors: Of its outputs and inputs, where the runtime tells them, or of what makes its inputs.
        milliseconds: Of one run, the least of the rounds.
    """

    op: str
    names: tuple[str, ...]
    tensors: tuple[str, ...] = ()
    milliseconds: float


def least(times: Sequence[float], skip: int) -> float:
    """Return the least of what was measured, the first `skip` left out where there are more."""
    return min(times[skip:] or times)

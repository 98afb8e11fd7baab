"""The time of one kernel of a runtime, as its profiler reports it."""

__all__ = ["Feeds", "KernelTime", "shortest"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

Feeds: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelTime:
    """One kernel of a runtime.

    Attributes:
        op: Name of the operator in the runtime: "QLinearConv", "Reorder".
        names: Names of the node, and of the nodes fused into it.
        tensors: Names of its outputs and inputs, or of the kernels before it, where they are known.
        milliseconds: Time of one run, the shortest of all rounds.
    """

    op: str
    names: tuple[str, ...]
    tensors: tuple[str, ...] = ()
    milliseconds: float


def shortest(times: Sequence[float], skip: int) -> float:
    """Return the shortest time, without the first `skip` ones where there are more."""
    return min(times[skip:] or times)

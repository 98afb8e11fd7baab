"""A chip as a roofline sees it: how fast it computes, how fast it moves bytes."""

__all__ = ["Device"]

from collections.abc import Mapping
from dataclasses import dataclass, field

from quant.formats.precision import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One chip or board, each number with its source.

    Attributes:
        name: The name that `--device` takes.
        title: The name for people.
        peak: Operations a second by precision; a multiply-accumulate is two. Dense: without
            structured sparsity.
        bandwidth: Bytes a second to and from memory; None where there is no public figure.
        overhead: Seconds that every layer takes beyond its work: starting a kernel.
        efficiency: The share of `peak` that layers attain, over 0 to 1; 1 where it was not measured.
        sources: Where each number is from, by "peak.int8" or "bandwidth".
        fits: Beginnings, in small letters, of the versions (`Target.version`) that name this chip.
    """

    name: str
    title: str
    peak: Mapping[Precision, float]
    bandwidth: float | None
    overhead: float = 0.0
    efficiency: float = 1.0
    sources: Mapping[str, str] = field(default_factory=dict)
    fits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        peak = {Precision(name): rate for name, rate in self.peak.items()}
        object.__setattr__(self, "peak", peak)
        numbers = [*self.peak.values(), self.efficiency]
        numbers += [] if self.bandwidth is None else [self.bandwidth]
        if not self.peak or not all(x > 0 for x in numbers):
            raise ValueError(f"Device '{self.name}': rates must be over 0, saw {numbers}.")
        if self.overhead < 0 or self.efficiency > 1:
            raise ValueError(
                f"Device '{self.name}': overhead must be 0 or more and efficiency at most 1, saw "
                f"{self.overhead} and {self.efficiency}."
            )

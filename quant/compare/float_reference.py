"""The float network on calibration batches in memory: what candidates are compared with."""

__all__ = ["FloatReference"]

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from quant.compare.batch import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatReference:
    """The float network and the batches on which others are measured against it.

    Attributes:
        session: ONNX Runtime session of the prepared graph.
        batches: Calibration batches, in memory.
        threads: Threads inside one operator of a session opened beside it; 0 for all cores.
    """

    session: Any = field(repr=False)
    batches: Sequence[Batch] = field(repr=False)
    threads: int = 0

"""The errors of groups, measured batch by batch, and the file that keeps them for a killed search."""

__all__ = ["GroupErrors", "GroupErrorsFile"]

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from quant.common.files import atomic

F64 = NDArray[np.float64]

FORMAT = "quant-probes-1"


@dataclass(frozen=True, kw_only=True)
class GroupErrors:
    """What was measured, batch by batch in order.

    Attributes:
        signal: float64 `[B, O]`, sum of squares of each float output.
        noise: float64 `[B, G + T, K, O]`, sum of squares of each output's error: for each group, and
            behind them for each tensor that groups share.
        other: float64 `[B, G + T, K]`, sum over samples of the divergence, or of the metric's loss.
        samples: int64 `[B]`.
    """

    signal: F64
    noise: F64
    other: F64
    samples: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence["GroupErrors"]) -> "GroupErrors":
        """Return the batches of all parts, in their order; at least one part."""
        names = [f.name for f in fields(cls)]
        return cls(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupErrorsFile:
    """Errors that were measured so far, for a search that goes on where it was.

    Attributes:
        path: A .safetensors file.
        key: Fingerprint of all that the errors depend on.
    """

    path: Path
    key: str

    def read(self) -> GroupErrors | None:
        """Return the errors; None where the file is not there, broken, or of another key."""
        try:
            with safe_open(self.path, framework="numpy") as file:
                if (file.metadata() or {}).get("quant") != f"{FORMAT} {self.key}":
                    return None
                return GroupErrors(**{f.name: file.get_tensor(f.name) for f in fields(GroupErrors)})
        except (OSError, SafetensorError):
            return None

    def write(self, errors: GroupErrors) -> None:
        """Write the errors, atomically."""
        arrays = {name: np.ascontiguousarray(array) for name, array in asdict(errors).items()}
        with atomic(self.path) as scratch:
            # one entry, for safetensors puts several in an order of its own
            scratch.write_bytes(save(arrays, metadata={"quant": f"{FORMAT} {self.key}"}))

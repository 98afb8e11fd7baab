"""GroupErrors as a file, so that a killed search need not measure again."""

__all__ = ["load_group_errors", "save_group_errors"]

from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from quant.common.files import atomic
from quant.search.sensitivity import GroupErrors

FORMAT = "quant-probes-1"


NAMES = ("signal", "noise", "other", "samples")


def save_group_errors(probes: GroupErrors, path: Path, key: str) -> None:
    """Write probes, atomically.

    Args:
        probes: What has been measured so far.
        path: A .safetensors file.
        key: Fingerprint of all that they depend on.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in asdict(probes).items()}
    with atomic(path) as scratch:
        # one entry, for safetensors puts several in an order of its own
        scratch.write_bytes(save(arrays, metadata={"quant": f"{FORMAT} {key}"}))


def load_group_errors(path: Path, key: str) -> GroupErrors | None:
    """Return what an earlier run measured; None where the file is another's, broken or not there."""
    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("quant") != f"{FORMAT} {key}":
                return None
            return GroupErrors(**{name: file.get_tensor(name) for name in NAMES})
    except (OSError, SafetensorError):
        return None

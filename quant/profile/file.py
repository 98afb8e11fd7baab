"""A Profile as one safetensors file: the same profile gives the same bytes."""

__all__ = ["load_done", "load_profile", "save_profile"]

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from quant.common.errors import InputError
from quant.common.files import atomic
from quant.profile.statistics import Profile, Provenance, TensorProfile

FORMAT = "quant-profile-1"
_INTEGERS = ("count", "sampled", "zeros", "nonfinite", "exponent", "start")
_ARRAYS = ("channel_low", "channel_high", "means", "bins")


def save_profile(profile: Profile, path: Path, done: Sequence[str] = ()) -> None:
    """Write a profile, atomically.

    Layout: tensors `<n>.channel_low`, `<n>.channel_high` (float32), `<n>.means` and `<n>.bins` (int64), where n
    counts the profile's tensors in order; the metadata entry `quant` is JSON with the provenance,
    the tensor names in that order and their scalars. Floats are written as hexadecimal text.
    `done` lists the keys of the samples that it covers, for a run that will be resumed.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    rows = []
    for number, (name, tensor) in enumerate(profile.tensors.items()):
        row: dict[str, Any] = {key: getattr(tensor, key) for key in _INTEGERS}
        row |= {"name": name, "low": tensor.low.hex(), "high": tensor.high.hex()}
        row["nonfinite_sample"] = tensor.nonfinite_sample
        rows.append(row)
        for key in _ARRAYS:  # safetensors writes the memory of a view, not what it shows
            arrays[f"{number:05d}.{key}"] = np.ascontiguousarray(getattr(tensor, key))
    origin = profile.provenance
    head = {
        "graph": origin.graph,
        "preprocess": origin.preprocess,
        "settings": origin.settings,
        "data": f"{origin.data:064x}",
        "samples": origin.samples,
        "tensors": rows,
    }
    if done:
        head["done"] = sorted(done)
    # one metadata key: safetensors writes several in an order that changes from run to run
    text = json.dumps({"format": FORMAT, **head}, separators=(",", ":"))
    with atomic(path) as scratch:
        scratch.write_bytes(save(arrays, metadata={"quant": text}))


def load_done(path: Path) -> list[str]:
    """Return the keys of the samples that an unfinished profile holds."""
    with safe_open(path, framework="numpy") as file:
        head = json.loads((file.metadata() or {}).get("quant", "{}"))
        return [str(key) for key in head.get("done", [])]


def load_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        InputError: The file is missing, is not a profile, or is of another format version.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            head = json.loads((file.metadata() or {}).get("quant", "{}"))
            if head.get("format") != FORMAT:
                raise InputError(
                    f"{path}: not a profile of this version: its format is "
                    f"'{head.get('format', 'none')}', wanted '{FORMAT}'. Profile again."
                )
            tensors = {
                row["name"]: _tensor(
                    row, {key: file.get_tensor(f"{n:05d}.{key}") for key in _ARRAYS}
                )
                for n, row in enumerate(head["tensors"])
            }
            origin = Provenance(
                graph=head["graph"],
                preprocess=head["preprocess"],
                settings=head["settings"],
                data=int(head["data"], 16),
                samples=int(head["samples"]),
            )
    except (AttributeError, KeyError, OSError, SafetensorError, TypeError, ValueError) as error:
        cause = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise InputError(f"{path}: not a readable profile: {cause}. Profile again.") from error
    return Profile(tensors=tensors, provenance=origin)


def _tensor(row: dict[str, Any], arrays: dict[str, Any]) -> TensorProfile:
    integers: dict[str, Any] = {key: int(row[key]) for key in _INTEGERS}
    return TensorProfile(
        low=float.fromhex(row["low"]),
        high=float.fromhex(row["high"]),
        nonfinite_sample=row["nonfinite_sample"],
        **integers,
        **arrays,
    )

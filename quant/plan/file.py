"""A plan as a JSON file, written and read back, also after a person has edited it."""

__all__ = ["load_plan", "plan_text", "save_plan"]

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from quant.common.errors import InputError, reason_of
from quant.common.files import json_text, write_text
from quant.formats.number_format import read_format
from quant.formats.precision import Precision
from quant.plan.tensor_plans import LayerPlan, Plan, TensorKind, TensorPlan, tensor_key

T = TypeVar("T")

VERSION = 1

NEEDS = {
    "layer": "layer, op and precision",
    "tensor": "tensor, kind, format, scale, zero_point, symmetric, narrow and axis",
}


def _tensor_out(tensor: TensorPlan) -> dict[str, Any]:
    row: dict[str, Any] = {"tensor": tensor.tensor, "kind": tensor.kind}
    numbers: Mapping[str, Any] = {"format": "float32"}
    if tensor.format is not None and tensor.params is not None:
        numbers = tensor.format.describe(tensor.params)
    row |= {key: _exact(value) if key == "scale" else value for key, value in numbers.items()}
    row["readers"] = None if tensor.readers is None else [list(r) for r in tensor.readers]
    row["because"] = tensor.because
    return row


def _exact(scale: Any) -> Any:
    """Return float32 numbers such that JSON writes 9 digits, which read back to the same bits."""
    if scale.ndim == 0:
        return json.loads(f"{float(scale):.9g}")
    return [json.loads(f"{float(s):.9g}") for s in scale]


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan as JSON."""
    write_text(path, plan_text(plan))


def plan_text(plan: Plan) -> str:
    """Return a plan as JSON: equal plans have equal texts."""
    content = {
        "version": VERSION,
        "target": plan.target,
        "graph": plan.graph,
        "layers": [
            {"layer": x.layer, "op": x.op, "precision": x.precision, "because": x.because}
            for x in plan.layers.values()
        ],
        "tensors": [_tensor_out(t) for t in plan.tensors.values()],
        "bias_shifts": {layer: _exact(shift) for layer, shift in plan.bias_shifts.items()},
    }
    return json_text(content) + "\n"


def _tensor_in(row: dict[str, Any]) -> TensorPlan:
    text = str(row["format"])
    number_format: Any = None
    params: Any = None
    if text != "float32":
        number_format, params = read_format(row)
    kinds: dict[str, TensorKind] = {"activation": "activation", "weight": "weight"}
    if row["kind"] not in kinds:
        raise ValueError(f"kind is activation or weight, saw '{row['kind']}'")
    readers = row.get("readers")
    return TensorPlan(
        tensor=str(row["tensor"]),
        kind=kinds[row["kind"]],
        format=number_format,
        params=params,
        readers=None if readers is None else tuple((str(n), int(i)) for n, i in readers),
        because=str(row.get("because", "")),
    )


def _layer_in(row: dict[str, Any]) -> LayerPlan:
    if row["precision"] not in list(Precision):
        raise ValueError(f"precision is one of {', '.join(Precision)}, saw '{row['precision']}'")
    return LayerPlan(
        layer=str(row["layer"]),
        op=str(row["op"]),
        precision=Precision(row["precision"]),
        because=str(row.get("because", "")),
    )


def _rows(path: Path, text: dict[str, Any], kind: str, make: Callable[[Any], T]) -> dict[str, T]:
    """Return what `make` builds of every entry, by name."""
    entries: dict[str, T] = {}
    rows = text.get(f"{kind}s", [])
    if not isinstance(rows, list):
        raise InputError(f"{path}: {kind}s is a list, saw {type(rows).__name__}. Mend the file.")
    for number, row in enumerate(rows):
        name = str(row.get(kind, number) if isinstance(row, dict) else number)
        try:
            entry = make(row)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            cause = f"{type(error).__name__}: {error}".rstrip(".")
            raise InputError(
                f"{path}, {kind} '{name}': a {kind} needs {NEEDS[kind]}; saw {cause}. "
                "Mend the entry."
            ) from error
        key = tensor_key(entry, entries) if isinstance(entry, TensorPlan) else name
        if key in entries:
            raise InputError(f"{path}, {kind} '{name}': it stands there twice. Remove one.")
        entries[key] = entry
    return entries


def load_plan(path: Path) -> Plan:
    """Read a plan, also one that was edited by hand.

    Raises:
        InputError: Not JSON, not a plan of this version, or an entry lacks a field, has one that
            makes no grid, or stands there twice; the message names the entry.
    """
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a readable plan: {reason_of(error)}. Write one with quant choose."
        ) from error
    version = text.get("version") if isinstance(text, dict) else None
    if version != VERSION:
        raise InputError(
            f"{path}: not a plan of this version: saw version {version}, wanted {VERSION}. "
            "Write one with quant choose."
        )
    try:
        shifts = {k: np.asarray(v, np.float32) for k, v in text.get("bias_shifts", {}).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: bias_shifts is a list of numbers for each layer; saw {error}. Mend the file."
        ) from error
    return Plan(
        target=str(text.get("target")),
        graph=str(text.get("graph")),
        layers=_rows(path, text, "layer", _layer_in),
        tensors=_rows(path, text, "tensor", _tensor_in),
        bias_shifts=shifts,
    )

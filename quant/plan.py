"""Plan: for every tensor its format and numbers, or float, and because.

A plan is JSON that a person can print, compare, edit and give back.
"""

__all__ = ["LayerPlan", "Plan", "TensorPlan", "load_plan", "save_plan"]

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from quant.errors import InputError
from quant.files import write_json
from quant.formats import Integer, Params

F32 = NDArray[np.float32]

T = TypeVar("T")

VERSION = 1

NEEDS = {
    "layer": "layer, op and precision",
    "tensor": "tensor, kind, format, scale, zero_point, symmetric, narrow and axis",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPlan:
    """One tensor's grid, and who sees it.

    Attributes:
        tensor: The value's name in the prepared graph.
        kind: "activation" or "weight".
        number: The format; None leaves the tensor float.
        params: Its measured numbers; None exactly when `number` is.
        readers: `(node, input index)` of those that see the integers; None for every reader.
        because: One phrase.
    """

    tensor: str
    kind: str
    number: Integer | None
    params: Params | None
    readers: tuple[tuple[str, int], ...] | None = None
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """One layer's precision ("int8" or "float32"), and because."""

    layer: str
    op: str
    precision: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every layer's and tensor's choice for one target and one prepared graph.

    Attributes:
        target: Name of the target.
        graph: Fingerprint of the prepared graph.
        layers: By node name, in topological order.
        tensors: By tensor name, in topological order, weights behind the activations.
        shifts: By node name float32 `[K]`, what is added to a layer's bias: it takes back the mean
            error that rounding the weights makes.
    """

    target: str
    graph: str
    layers: Mapping[str, LayerPlan]
    tensors: Mapping[str, TensorPlan]
    shifts: Mapping[str, F32] = field(default_factory=dict)

    @property
    def quantized(self) -> list[TensorPlan]:
        """The tensors that have a grid."""
        return [t for t in self.tensors.values() if t.params is not None]


def _tensor_out(tensor: TensorPlan) -> dict[str, Any]:
    row: dict[str, Any] = {"tensor": tensor.tensor, "kind": tensor.kind}
    if tensor.number is None or tensor.params is None:
        row["format"] = "float32"
    else:
        number = tensor.number
        row["format"] = number.name
        row["symmetric"], row["narrow"] = number.symmetric, number.narrow
        row["axis"] = number.axis
        # a float32 written with 9 digits reads back to the same bits
        row["scale"] = json.loads(_numbers(tensor.params.scale, "%.9g"))
        row["zero_point"] = tensor.params.zero_point.tolist()
    row["readers"] = None if tensor.readers is None else [list(r) for r in tensor.readers]
    row["because"] = tensor.because
    return row


def _numbers(scale: Any, form: str) -> str:
    if scale.ndim == 0:
        return form % float(scale)
    return "[" + ",".join(form % float(s) for s in scale) + "]"


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan as JSON."""
    write_json(
        path,
        {
            "version": VERSION,
            "target": plan.target,
            "graph": plan.graph,
            "layers": [
                {"layer": x.layer, "op": x.op, "precision": x.precision, "because": x.because}
                for x in plan.layers.values()
            ],
            "tensors": [_tensor_out(t) for t in plan.tensors.values()],
            "bias_shifts": {
                layer: json.loads(_numbers(shift, "%.9g")) for layer, shift in plan.shifts.items()
            },
        },
    )


def _tensor_in(row: dict[str, Any]) -> TensorPlan:
    number = params = None
    if row["format"] != "float32":
        text = str(row["format"])
        number = Integer(
            bits=int(text.removeprefix("u").removeprefix("int")),
            signed=not text.startswith("u"),
            symmetric=bool(row["symmetric"]),
            narrow=bool(row["narrow"]),
            axis=None if row["axis"] is None else int(row["axis"]),
        )
        with np.errstate(over="ignore"):  # an infinite scale is refused by name
            scale = np.asarray(row["scale"], np.float32)
        params = Params(scale=scale, zero_point=np.asarray(row["zero_point"], np.int32))
        if scale.ndim != (number.axis is not None):
            raise ValueError("one scale goes with axis null, a list of scales with a number")
        if np.any((params.zero_point < number.qmin) | (params.zero_point > number.qmax)):
            raise ValueError(f"zero_point must be {number.qmin} to {number.qmax}")
    if row["kind"] not in ("activation", "weight"):
        raise ValueError(f"kind is activation or weight, saw '{row['kind']}'")
    readers = row.get("readers")
    return TensorPlan(
        tensor=str(row["tensor"]),
        kind=str(row["kind"]),
        number=number,
        params=params,
        readers=None if readers is None else tuple((str(n), int(i)) for n, i in readers),
        because=str(row.get("because", "")),
    )


def _layer_in(row: dict[str, Any]) -> LayerPlan:
    if row["precision"] not in ("int8", "float32"):
        raise ValueError(f"precision is int8 or float32, saw '{row['precision']}'")
    return LayerPlan(
        layer=str(row["layer"]),
        op=str(row["op"]),
        precision=str(row["precision"]),
        because=str(row.get("because", "")),
    )


def _rows(path: Path, text: dict[str, Any], kind: str, make: Callable[[Any], T]) -> dict[str, T]:
    """Return what `make` builds of every entry, by name."""
    found: dict[str, T] = {}
    rows = text.get(f"{kind}s", [])
    if not isinstance(rows, list):
        raise InputError(f"{path}: {kind}s is a list, saw {type(rows).__name__}. Mend the file.")
    for number, row in enumerate(rows):
        name = str(row.get(kind, number) if isinstance(row, dict) else number)
        try:
            one = make(row)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            said = f"{type(error).__name__}: {error}".rstrip(".")
            raise InputError(
                f"{path}, {kind} '{name}': a {kind} needs {NEEDS[kind]}; saw {said}. "
                "Mend the entry."
            ) from error
        if name in found:
            raise InputError(f"{path}, {kind} '{name}': it stands there twice. Remove one.")
        found[name] = one
    return found


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
            f"{path}: not a readable plan: {error}. Write one with quant choose."
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
        shifts=shifts,
    )

"""The gate's TOML file: its limits and slices, read and checked key by key.

It is a file of its own, or [tool.quant.gate] in a pyproject.toml.

    confidence = 0.95           # of each limit, against a wrong pass and against a wrong fail
    undecided = "fail"          # what an undecided limit counts as: "fail" or "pass"

    [[limit]]
    measure = "accuracy_drop"
    max = 0.01

    [[slice]]
    name = "night"
    match = "night/*"           # glob over sample names; or file = "night.txt", one name per line

An unknown key, measure or value is an error: a limit with a typing mistake would check nothing.
"""

__all__ = ["Gate", "Slice", "check_keys", "check_values", "limit_of", "load_gate"]

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from quant.common.errors import InputError, reason_of
from quant.common.parse import share
from quant.gate.limits import Limit
from quant.gate.measures import MEASURES

GATE_KEYS = ("confidence", "undecided", "judge", "limit", "slice")
LIMIT_KEYS = (
    *("measure", "max", "min", "metric", "target", "by"),
    *("slice", "layer", "confidence", "undecided"),
)
SLICE_KEYS = ("name", "match", "file")

CHOICES: Mapping[str, tuple[str, ...]] = {
    "undecided": ("fail", "pass"),
    "judge": ("integer", "simulated"),
    "by": ("class",),
}
"""The texts that a key accepts; other keys accept any text."""

SHARE_MEASURES = ("accuracy", "agreement", "integer_share")
"""Measures that cannot exceed 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A named subset of the samples.

    Attributes:
        name: Name by which limits refer to it.
        match: Glob over sample names; None where the names come from a file.
        keys: Sample names from a file; empty where there is none.
        place: Where the slice is written: "gate.toml:12".
    """

    name: str
    match: str | None = None
    keys: frozenset[str] = frozenset()
    place: str = ""

    def holds(self, key: str) -> bool:
        """Return whether the slice contains the sample of this name."""
        return key in self.keys or (self.match is not None and fnmatchcase(key, self.match))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The content of a gate's file.

    Attributes:
        limits: In the order of the file.
        slices: By name.
        judge: "integer": judge the integer run where the runtime was installed; "simulated": judge
            the simulation in any case.
    """

    limits: tuple[Limit, ...] = ()
    slices: Mapping[str, Slice] = field(default_factory=dict)
    judge: str = "integer"


def check_keys(row: Mapping[str, Any], allowed: Sequence[str], place: str, kind: str) -> None:
    """Raise InputError for a key that is not allowed, with the most similar one that is."""
    for key in row:
        if key not in allowed:
            near = get_close_matches(key, allowed, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(
                f"{place}: {kind} has no '{key}'.{hint} Known: {', '.join(sorted(allowed))}."
            )


def check_values(row: Mapping[str, Any], place: str) -> None:
    """Raise InputError for a value of a wrong type or range."""
    for key, value in row.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if key in ("max", "min"):
            if not number or not abs(value) < float("inf"):
                raise InputError(f"{place}: {key} is a number, saw '{value}'. Write one.")
        elif key == "confidence":
            if not number or not 0.5 <= value < 1:
                raise InputError(
                    f"{place}: confidence is from 0.5 to below 1, saw '{value}'. Write 0.95."
                )
        elif not isinstance(value, str) or value not in CHOICES.get(key, (value,)):
            choices = " or ".join(f"'{x}'" for x in CHOICES.get(key, ())) or "a text"
            raise InputError(f"{place}: {key} is {choices}, saw '{value}'. Write one of them.")


def limit_of(row: Mapping[str, Any], place: str, slices: Collection[str]) -> Limit:
    """Return the limit that a table of the file describes.

    Args:
        row: The table.
        place: Where the table is written, for messages.
        slices: Names of the slices that the limit may refer to.

    Raises:
        InputError: A key or the measure is unknown, the bound is on the wrong side, or no sample
            could ever show that it holds.
    """
    check_keys(row, LIMIT_KEYS, place, "a limit")
    row = _shares_as_numbers(row, place)
    check_values(row, place)
    name = str(row.get("measure", "none"))
    if name not in MEASURES:
        near = get_close_matches(name, MEASURES, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(
            f"{place}: a limit has a known measure, saw '{name}'.{hint} Known: "
            f"{', '.join(sorted(MEASURES))}."
        )
    kind = MEASURES[name]
    if [k for k in ("max", "min") if k in row] != [kind.bounded]:
        given = " and ".join(k for k in ("max", "min") if k in row) or "neither"
        raise InputError(
            f"{place}: {name} is limited by {kind.bounded}, saw {given}. Write {kind.bounded} = "
            "..., a number."
        )
    bound = float(row[kind.bounded])
    _possible(name, bound, place)
    _fitting(row, kind.source, place)
    part = row.get("slice")
    if part is not None and part not in slices:
        raise InputError(
            f"{place}: no slice is named '{part}'. Add a [[slice]] with that name, or remove it."
        )
    optional = {k: row[k] for k in LIMIT_KEYS[3:] if k in row and k != "slice"}
    return Limit(measure=name, bound=bound, part=part, place=place, **optional)


def _shares_as_numbers(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return a limit's table with bounds that are written "2%" as 0.02, where shares are meant."""
    kind = MEASURES.get(str(row.get("measure")))
    if kind is None or kind.unit not in ("points", "%"):
        return dict(row)
    return {
        key: share(value, f"{place}: {key}")
        if key in ("max", "min") and isinstance(value, str)
        else value
        for key, value in row.items()
    }


def _possible(name: str, bound: float, place: str) -> None:
    """Raise InputError for a bound that no number of samples could show to hold."""
    if name in SHARE_MEASURES and bound > 1:
        raise InputError(
            f"{place}: {name} is a share and cannot be more than 1, saw {bound:g}. Write "
            f"{bound / 100:g} for {bound:g} %."
        )
    if name in ("accuracy", "agreement") and bound == 1:
        raise InputError(
            f"{place}: no number of samples can show that {name} is 1. Write what is enough, such "
            "as 0.99."
        )
    if name in ("accuracy_drop", "baseline_accuracy_drop") and bound >= 1:
        raise InputError(
            f"{place}: {name} is a share below 1, saw {bound:g}. Write 0.01 for 1 point."
        )


def _fitting(row: Mapping[str, Any], source: str, place: str) -> None:
    """Raise InputError for a key about samples or layers in a limit that has none."""
    wrong = [k for k in ("by", "slice", "metric") if k in row and source != "samples"]
    wrong += ["layer"] if "layer" in row and source != "layers" else []
    if wrong:
        raise InputError(
            f"{place}: {row['measure']} is not measured by {wrong[0]}. Remove {wrong[0]}."
        )


def load_gate(path: Path) -> Gate:
    """Read a gate's file.

    Raises:
        InputError: The file is not TOML, a key, measure or slice is unknown, a bound is on the wrong
            side or could never be shown to hold, or there is no limit; with the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"{path}: a gate is a TOML file: {reason_of(error)}. Mend the file."
        ) from error
    prefix = ""
    if path.name == "pyproject.toml":
        prefix, table = "tool.quant.gate.", _inner(table, path)
    check_keys(table, GATE_KEYS, str(path), "a gate")
    places = [_places(text, prefix + kind, path) for kind in ("slice", "limit")]
    slices = {}
    for row, place in _rows(table, "slice", path, places[0]):
        part = _slice(row, place, path.parent)
        if part.name in slices:
            raise InputError(f"{place}: slice '{part.name}' is defined twice. Rename one.")
        slices[part.name] = part
    base = {k: table[k] for k in ("confidence", "undecided") if k in table}
    check_values(base | {k: table[k] for k in ("judge",) if k in table}, str(path))
    limits = [
        limit_of(base | row, place, slices) for row, place in _rows(table, "limit", path, places[1])
    ]
    if not limits:
        raise InputError(
            f"{path}: a gate without limits passes everything. Add a [[{prefix}limit]] with measure "
            "and max or min."
        )
    return Gate(limits=tuple(limits), slices=slices, judge=str(table.get("judge", "integer")))


def _inner(table: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the table [tool.quant.gate]."""
    inner: Any = table
    for key in ("tool", "quant", "gate"):
        inner = inner.get(key) if isinstance(inner, dict) else None
    if not isinstance(inner, dict):
        raise InputError(
            f"{path}: a gate needs the table [tool.quant.gate], saw none. Add "
            "[[tool.quant.gate.limit]] with measure and max or min."
        )
    return inner


def _places(text: str, header: str, path: Path) -> list[str]:
    lines = enumerate(text.splitlines(), 1)
    return [f"{path}:{n}" for n, line in lines if line.split("#")[0].strip() == f"[[{header}]]"]


def _rows(
    table: Mapping[str, Any], kind: str, path: Path, places: Sequence[str]
) -> list[tuple[dict[str, Any], str]]:
    rows = table.get(kind, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: {kind}s are written as [[{kind}]]. Double the brackets.")
    return [(row, places[i] if i < len(places) else str(path)) for i, row in enumerate(rows)]


def _slice(row: dict[str, Any], place: str, folder: Path) -> Slice:
    check_keys(row, SLICE_KEYS, place, "a slice")
    check_values(row, place)
    if "name" not in row or ("match" in row) == ("file" in row):
        raise InputError(
            f"{place}: a slice has a name, and a match or a file, saw "
            f"{', '.join(sorted(row)) or 'nothing'}. Write what is missing."
        )
    keys: frozenset[str] = frozenset()
    if "file" in row:
        try:
            lines = (folder / row["file"]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"{place}: file '{row['file']}' is a list of sample names, one per line: {reason_of(error)}. "
                "Mend the path."
            ) from error
        keys = frozenset(line for line in lines if line)
    return Slice(name=row["name"], match=row.get("match"), keys=keys, place=place)

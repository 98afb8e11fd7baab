"""Gate file: limits and slices as TOML, a file of their own or [tool.quant.gate] in a pyproject.

    confidence = 0.95           # of each verdict, in both directions
    undecided = "fail"          # what an undecided limit counts as: "fail" or "pass"

    [[limit]]
    measure = "accuracy_drop"
    max = 0.01

    [[slice]]
    name = "night"
    match = "night/*"           # of the samples' names; or file = "night.txt", one name a line

Whatever the file says that no gate understands is an error: a limit with a typing mistake would be
a limit that holds nothing.
"""

__all__ = ["Gate", "Slice", "checked_values", "known_keys", "limit_of", "load_gate"]

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from quant.common.errors import InputError
from quant.gate.limits import Limit
from quant.gate.measures import MEASURES

OF_LIMIT = (
    *("measure", "max", "min", "metric", "target", "by"),
    *("slice", "layer", "confidence", "undecided"),
)


TEXTS: Mapping[str, tuple[str, ...]] = {
    "undecided": ("fail", "pass"),
    "judge": ("integer", "simulated"),
    "by": ("class",),
}


SHARES = ("accuracy", "agreement", "integer_share")
"""Measures that end at 1."""


def known_keys(row: Mapping[str, Any], known: Sequence[str], place: str, what: str) -> None:
    """Raise InputError for a key that is not known, with the near name."""
    for key in row:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(
                f"{place}: {what} has no '{key}'.{hint} Known: {', '.join(sorted(known))}."
            )


def checked_values(row: Mapping[str, Any], place: str) -> None:
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
        elif not isinstance(value, str) or value not in TEXTS.get(key, (value,)):
            wanted = " or ".join(f"'{x}'" for x in TEXTS.get(key, ())) or "a text"
            raise InputError(f"{place}: {key} is {wanted}, saw '{value}'. Write one of them.")


def limit_of(row: Mapping[str, Any], place: str, slices: Collection[str]) -> Limit:
    """Return the limit that a table describes.

    Args:
        row: The table.
        place: Where it stands.
        slices: The names of slices that it may speak of.

    Raises:
        InputError: An unknown key or measure, a bound on the wrong side or that nothing could show.
    """
    known_keys(row, OF_LIMIT, place, "a limit")
    checked_values(row, place)
    name = str(row.get("measure", "none"))
    if name not in MEASURES:
        near = get_close_matches(name, MEASURES, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(
            f"{place}: a limit has a known measure, saw '{name}'.{hint} Known: "
            f"{', '.join(sorted(MEASURES))}."
        )
    about = MEASURES[name]
    if [k for k in ("max", "min") if k in row] != [about.bounded]:
        seen = " and ".join(k for k in ("max", "min") if k in row) or "neither"
        raise InputError(
            f"{place}: {name} is limited by {about.bounded}, saw {seen}. Write {about.bounded} = "
            "..., a number."
        )
    bound = float(row[about.bounded])
    _possible(name, bound, place)
    _fitting(row, about.kind, place)
    part = row.get("slice")
    if part is not None and part not in slices:
        raise InputError(
            f"{place}: no slice is named '{part}'. Add a [[slice]] with that name, or remove it."
        )
    rest = {k: row[k] for k in OF_LIMIT[3:] if k in row and k != "slice"}
    return Limit(measure=name, bound=bound, part=part, place=place, **rest)


def _possible(name: str, bound: float, place: str) -> None:
    if name in SHARES and bound > 1:
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
            f"{place}: {name} is a share, and a drop of {bound:g} is all there is. Write 0.01 for 1 "
            "point."
        )


def _fitting(row: Mapping[str, Any], kind: str, place: str) -> None:
    """Refuse what says something of samples or layers where there are none."""
    wrong = [k for k in ("by", "slice", "metric") if k in row and kind != "samples"]
    wrong += ["layer"] if "layer" in row and kind != "layers" else []
    if wrong:
        raise InputError(
            f"{place}: {row['measure']} is not measured by {wrong[0]}. Remove {wrong[0]}."
        )


TOP = ("confidence", "undecided", "judge", "limit", "slice")


OF_SLICE = ("name", "match", "file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A named part of the samples.

    Attributes:
        name: For limits to speak of.
        match: Glob over the samples' names.
        keys: The names themselves, from a file; empty for none.
        place: Where it stands.
    """

    name: str
    match: str | None = None
    keys: frozenset[str] = frozenset()
    place: str = ""

    def holds(self, key: str) -> bool:
        """Tell whether a sample is in it."""
        return key in self.keys or (self.match is not None and fnmatchcase(key, self.match))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """All that a gate's file says.

    Attributes:
        limits: In the file's order.
        slices: By name.
        judge: "integer": the integer run where the runtime was at hand; "simulated": never it.
    """

    limits: tuple[Limit, ...] = ()
    slices: Mapping[str, Slice] = field(default_factory=dict)
    judge: str = "integer"


def load_gate(path: Path) -> Gate:
    """Read a gate's file.

    Raises:
        InputError: Not TOML, an unknown key, measure or slice, a bound on the wrong side or that no
            sample could show; with the place and a near name.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: a gate is a TOML file: {error}. Mend the file.") from error
    prefix = ""
    if path.name == "pyproject.toml":
        prefix, table = "tool.quant.gate.", _inner(table, path)
    known_keys(table, TOP, str(path), "a gate")
    places = [_places(text, prefix + kind, path) for kind in ("slice", "limit")]
    slices = {}
    for row, place in _rows(table, "slice", path, places[0]):
        one = _slice(row, place, path.parent)
        if one.name in slices:
            raise InputError(f"{place}: slice '{one.name}' stands there twice. Rename one.")
        slices[one.name] = one
    base = {k: table[k] for k in ("confidence", "undecided") if k in table}
    checked_values(base | {k: table[k] for k in ("judge",) if k in table}, str(path))
    limits = [
        limit_of(base | row, place, slices) for row, place in _rows(table, "limit", path, places[1])
    ]
    if not limits:
        raise InputError(
            f"{path}: a gate without a limit lets everything through. Add a [[{prefix}limit]] with "
            "measure and max or min."
        )
    return Gate(limits=tuple(limits), slices=slices, judge=str(table.get("judge", "integer")))


def _inner(table: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the table [tool.quant.gate]."""
    found: Any = table
    for key in ("tool", "quant", "gate"):
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise InputError(
            f"{path}: it has no table [tool.quant.gate], which a gate needs. Add "
            "[[tool.quant.gate.limit]] with measure and max or min."
        )
    return found


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
    known_keys(row, OF_SLICE, place, "a slice")
    checked_values(row, place)
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
                f"{place}: file '{row['file']}' is a list of samples, one a line: {error}. Mend "
                "the path."
            ) from error
        keys = frozenset(line for line in lines if line)
    return Slice(name=row["name"], match=row.get("match"), keys=keys, place=place)

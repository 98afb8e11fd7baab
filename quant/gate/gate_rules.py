"""Gate rules: what a table of a gate's file may say, and the limit it makes."""

__all__ = ["checked_values", "known_keys", "limit_of"]

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
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

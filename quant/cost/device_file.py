"""Device files: a user's own chip as TOML, and the choice between it and a target's table.

    title = "Our board, revision C"
    bandwidth = 12.8e9         # bytes a second
    overhead = 5e-6            # seconds to start a layer
    efficiency = 0.6           # share of the peak that layers attain

    [peak]                     # operations a second, a multiply-accumulate is two
    int8 = 1e12
    float16 = 0.5e12

    [sources]
    bandwidth = "stream, measured on the board"

Only `[peak]` is needed, with one precision.
"""

__all__ = ["load_device", "pick_device"]

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

from quant.common.errors import InputError
from quant.formats.precision import Precision
from quant.target.device import Device

KEYS = ("name", "title", "bandwidth", "overhead", "efficiency", "peak", "sources")
LEAST = 1e6
"""A slower rate is one in the wrong unit: 8 for 8 TOPS, 25.6 for 25.6 GB/s."""


def load_device(path: Path) -> Device:
    """Read a device of a TOML file.

    Raises:
        InputError: The file cannot be read, is not TOML, has a key that nobody knows, lacks
            `[peak]`, or a number is none or in the wrong unit.
    """
    table = _toml(path)
    _known(table, KEYS, path, "a device file")
    peak = _table(table, "peak", path)
    if not peak:
        raise InputError(
            f"{path}: a device needs a table [peak] with one precision or more, saw none. Write for "
            "example int8 = 8e12 below [peak]."
        )
    _known(peak, list(Precision), path, "[peak]")
    sources = _table(table, "sources", path)
    named = [*(f"peak.{p}" for p in Precision), "bandwidth", "overhead", "efficiency"]
    _known(sources, named, path, "[sources]")
    bandwidth = table.get("bandwidth")
    return Device(
        name=_text(table.get("name", path.stem), "name", path),
        title=_text(table.get("title", table.get("name", path.stem)), "title", path),
        peak={Precision(n): _rate(v, f"peak.{n}", "operations", path) for n, v in peak.items()},
        bandwidth=None if bandwidth is None else _rate(bandwidth, "bandwidth", "bytes", path),
        overhead=_share(table.get("overhead", 0.0), "overhead", path, "seconds, from 0 to 1"),
        efficiency=_share(table.get("efficiency", 1.0), "efficiency", path, "a share, over 0 to 1"),
        sources={
            **{key: str(path) for key in _given(table, peak)},
            **{key: _text(v, f"sources.{key}", path) for key, v in sources.items()},
        },
    )


def pick_device(
    title: str, devices: Collection[Device], said: str | None, bandwidth: float | None = None
) -> Device:
    """Return the device that a user chose: one of the table, of a file, or the table's first.

    Args:
        title: The target's, for messages.
        devices: Its table.
        said: `--device`: a name of the table or a `.toml` file; None for the first.
        bandwidth: `--bandwidth` in 10**9 bytes a second, instead of the device's own.

    Raises:
        InputError: No such device, no table and no file, or a bandwidth that is none.
    """
    table = {device.name: device for device in devices}
    if said is not None and said not in table and said.endswith(".toml"):
        found = load_device(Path(said))
    elif said is None and not table:
        raise InputError(
            f"{title}: there are no public figures of its devices. Give --device FILE.toml with the "
            "peak and the bandwidth of yours; docs/roofline.md shows one."
        )
    elif said is not None and said not in table:
        near = get_close_matches(said, table, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        known = f"{', '.join(table)}, or a .toml file" if table else "a .toml file"
        raise InputError(f"--device: {title} has no '{said}'.{hint} Known: {known}.")
    else:
        found = table[said] if said is not None else next(iter(table.values()))
    if bandwidth is None:
        return found
    if not (isfinite(bandwidth) and bandwidth > 0):
        raise InputError(
            f"--bandwidth: it is in 10**9 bytes a second and over 0, saw {bandwidth:g}. Write 25.6 "
            "for 25.6 GB/s."
        )
    sources = {**found.sources, "bandwidth": "--bandwidth"}
    return replace(found, bandwidth=bandwidth * 1e9, sources=sources)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}. Mend the path.") from error
    except ValueError as error:
        raise InputError(f"{path}: is not TOML: {error}. Mend that place.") from error


def _known(table: Mapping[str, Any], known: Collection[str], path: Path, what: str) -> None:
    """Refuse a key that nobody knows."""
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(f"{path}: {what} has no key '{key}'.{hint} Known: {', '.join(known)}.")


def _table(table: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise InputError(f"{path}: {key} must be a table, saw '{found}'. Write [{key}] above it.")
    return _flat(found)


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with `peak.int8 = ...` as the key that it looks like."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        inner = value if isinstance(value, dict) else {"": value}
        found.update({f"{key}.{name}" if name else key: v for name, v in inner.items()})
    return found


def _text(value: object, key: str, path: Path) -> str:
    if not isinstance(value, str):
        raise InputError(f"{path}: {key} must be a text, saw {value}. Put it in quotes.")
    return value


def _rate(value: object, key: str, unit: str, path: Path) -> float:
    """Return a rate in units a second."""
    if not _is_number(value) or float(value) < LEAST:  # type: ignore[arg-type]
        raise InputError(
            f"{path}: {key} is in {unit} a second, at least {LEAST:g}, saw '{value}'. Write 8e12 for "
            "8 * 10**12."
        )
    return float(value)  # type: ignore[arg-type]


def _share(value: object, key: str, path: Path, wanted: str) -> float:
    """Return a number from 0 to 1; an efficiency of 0 would take for ever."""
    good = _is_number(value) and 0 <= float(value) <= 1  # type: ignore[arg-type]
    if not good or (key == "efficiency" and value == 0):
        raise InputError(f"{path}: {key} is in {wanted}, saw '{value}'. Mend the number.")
    return float(value)  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _given(table: Mapping[str, Any], peak: Mapping[str, Any]) -> list[str]:
    """Return which numbers the file holds."""
    alone = [key for key in ("bandwidth", "overhead", "efficiency") if key in table]
    return [*(f"peak.{name}" for name in peak), *alone]

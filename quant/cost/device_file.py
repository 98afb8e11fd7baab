"""Device files: a user's own chip as TOML, and the choice among the devices of a target.

    title = "Our board, revision C"
    bandwidth = 12.8e9         # bytes per second
    overhead = 5e-6            # seconds to start a layer
    efficiency = 0.6           # share of the peak that layers attain

    [peak]                     # operations per second, a multiply-accumulate is two
    int8 = 1e12
    float16 = 0.5e12

    [sources]
    bandwidth = "stream, measured on the board"

Only `[peak]` is required, with one precision or more.
"""

__all__ = ["load_device", "pick_device"]

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

from quant.common.errors import InputError, reason_of
from quant.formats.precision import Precision
from quant.target.device import Device

KEYS = ("name", "title", "bandwidth", "overhead", "efficiency", "peak", "sources")
LOWEST_RATE = 1e6
"""A lower rate is in the wrong unit: 8 for 8 TOPS, 25.6 for 25.6 GB/s."""


def load_device(path: Path) -> Device:
    """Read a device from a TOML file.

    Raises:
        InputError: The file cannot be read or is not TOML, a key is unknown, `[peak]` is missing,
            or a value is not a number or is in the wrong unit.
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
    title: str, devices: Collection[Device], name: str | None, bandwidth: float | None = None
) -> Device:
    """Return the device that a user chose: a device of the target, of a file, or the first one.

    Args:
        title: Title of the target, for messages.
        devices: Devices of the target.
        name: `--device`: name of a device or a `.toml` file; None for the first device.
        bandwidth: `--bandwidth` in 10**9 bytes per second, in place of the device's own.

    Raises:
        InputError: There is no such device, the target has no devices and no file is given, or the
            bandwidth is not a positive number.
    """
    table = {device.name: device for device in devices}
    if name is not None and name not in table and name.endswith(".toml"):
        device = load_device(Path(name))
    elif name is None and not table:
        raise InputError(
            f"{title}: there are no public figures of its devices. Give --device FILE.toml with the "
            "peak and the bandwidth of yours; docs/roofline.md shows one."
        )
    elif name is not None and name not in table:
        near = get_close_matches(name, table, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        choices = f"{', '.join(table)}, or a .toml file" if table else "a .toml file"
        raise InputError(f"--device: {title} has no '{name}'.{hint} Known: {choices}.")
    else:
        device = table[name] if name is not None else next(iter(table.values()))
    if bandwidth is None:
        return device
    if not (isfinite(bandwidth) and bandwidth > 0):
        raise InputError(
            f"--bandwidth: it is in 10**9 bytes a second and over 0, saw {bandwidth:g}. Write 25.6 "
            "for 25.6 GB/s."
        )
    sources = {**device.sources, "bandwidth": "--bandwidth"}
    return replace(device, bandwidth=bandwidth * 1e9, sources=sources)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason_of(error)}. Mend the path.") from error
    except ValueError as error:
        raise InputError(f"{path}: is not TOML: {error}. Mend that place.") from error


def _known(table: Mapping[str, Any], known: Collection[str], path: Path, what: str) -> None:
    """Raise InputError for an unknown key."""
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(f"{path}: {what} has no key '{key}'.{hint} Known: {', '.join(known)}.")


def _table(table: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise InputError(f"{path}: {key} must be a table, saw '{value}'. Write [{key}] above it.")
    return _flat(value)


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table in which `peak.int8 = ...` is one key, "peak.int8"."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = value if isinstance(value, dict) else {"": value}
        flat.update({f"{key}.{name}" if name else key: v for name, v in inner.items()})
    return flat


def _text(value: object, key: str, path: Path) -> str:
    if not isinstance(value, str):
        raise InputError(f"{path}: {key} must be a text, saw {value}. Put it in quotes.")
    return value


def _rate(value: object, key: str, unit: str, path: Path) -> float:
    """Return a rate in units per second."""
    if not _is_number(value) or float(value) < LOWEST_RATE:  # type: ignore[arg-type]
        raise InputError(
            f"{path}: {key} is in {unit} a second, at least {LOWEST_RATE:g}, saw '{value}'. Write 8e12 for "
            "8 * 10**12."
        )
    return float(value)  # type: ignore[arg-type]


def _share(value: object, key: str, path: Path, unit: str) -> float:
    """Return a number from 0 to 1; an efficiency of 0 is refused, because no layer would end."""
    valid = _is_number(value) and 0 <= float(value) <= 1  # type: ignore[arg-type]
    if not valid or (key == "efficiency" and value == 0):
        raise InputError(f"{path}: {key} is in {unit}, saw '{value}'. Mend the number.")
    return float(value)  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _given(table: Mapping[str, Any], peak: Mapping[str, Any]) -> list[str]:
    """Return the names of the numbers that the file holds."""
    alone = [key for key in ("bandwidth", "overhead", "efficiency") if key in table]
    return [*(f"peak.{name}" for name in peak), *alone]

"""Parts: what is registered of each kind, for `quant list`, for option values and for completion.

Only the tables of the kind that is asked for are imported, so that each answer comes at once.
"""

__all__ = [
    "EFFORTS",
    "KINDS",
    "device_names",
    "metric_name",
    "metric_names",
    "observer_name",
    "observer_names",
    "parts",
    "precision_names",
    "runtime_name",
    "runtime_names",
    "target_name",
    "target_names",
]

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from quant.common.registry import Registry

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "targets": "runtimes and chips that quant writes files for: --target",
        "devices": "chips whose public peak rates predict times: --device",
        "precisions": "what a layer may compute in, and where: --precisions",
        "efforts": "how much is tried to win accuracy back: --effort",
        "observers": "how a histogram of values becomes a range: --observer",
        "metrics": "how outputs are judged: --metric",
        "sources": "what --data may name",
        "rules": "what quant check looks for, target by target",
    }
)
"""What `quant list` can list, with the option that takes it."""

EFFORTS: Mapping[str, str] = MappingProxyType(
    {
        "fast": "take the observer that measures best, and correct biases",
        "balanced": "fit integers and biases layer by layer too, and keep what helps",
        "best": "try everything that may help; takes longest",
    }
)
"""The steps of --effort, each with what it does."""


def parts(kind: str) -> list[dict[str, Any]]:
    """Return every part of a kind: `name`, `about` in one line, and what else is known of it.

    Args:
        kind: One of KINDS.
    """
    return {
        "targets": _targets,
        "devices": _devices,
        "precisions": _precisions,
        "efforts": lambda: _rows(EFFORTS),
        "observers": lambda: _documented(_observers()),
        "metrics": _metrics,
        "sources": lambda: _documented(_sources()),
        "rules": _rules,
    }[kind]()


def target_name(text: str) -> str:
    """Return the target that a person means: "TensorRT" and "trt" are "tensorrt".

    Raises:
        InputError: No target has that name.
    """
    table, plain = _target_table(), _plain(text)
    for name in table:
        if plain in (name, _plain(table[name].title), *table[name].aliases):
            return name
    return str(table[text].name)


def observer_name(text: str) -> str:
    """Return the name of an observer, whatever its capitals; raises InputError for none."""
    return _found(_observers(), text)


def metric_name(text: str) -> str:
    """Return the name of a metric, whatever its capitals; `module:function` stays as it is.

    Raises:
        InputError: No metric has that name.
    """
    return text if ":" in text else _found(_metric_table(), text)


def target_names() -> list[str]:
    """Return the names of all targets."""
    return list(_target_table())


def observer_names() -> list[str]:
    """Return the names of all observers."""
    return list(_observers())


def metric_names() -> list[str]:
    """Return the names of all metrics."""
    return list(_metric_table())


def device_names(targets: Sequence[str] = ()) -> list[str]:
    """Return the names of the devices of some targets; of all without any."""
    table = _target_table()
    return [device.name for name in targets or table for device in table[name].devices]


def runtime_name(text: str) -> str:
    """Return the name of a runtime, whatever its capitals; raises InputError for none."""
    from quant.target.table import find_runtime

    return find_runtime(text.lower()).name


def runtime_names() -> list[str]:
    """Return the names of the runtimes that can run a target's files here."""
    from quant.target.table import every_runtime

    return list(every_runtime())


def precision_names() -> list[str]:
    """Return the names of all precisions."""
    from quant.formats.precision import Precision

    return [str(precision) for precision in Precision]


def _plain(text: str) -> str:
    return re.sub("[^a-z0-9]", "", text.lower())


def _found(table: Registry[Any], text: str) -> str:
    name = text.lower() if text.lower() in list(table) else text
    _ = table[name]  # an unknown name is refused here, with the near one
    return name


def _target_table() -> Registry[Any]:
    from quant.target.table import TARGETS

    return TARGETS


def _observers() -> Registry[Any]:
    from quant.observers import OBSERVERS

    return OBSERVERS


def _metric_table() -> Registry[Any]:
    from quant.metrics.metric import METRICS

    return METRICS


def _sources() -> Registry[Any]:
    from quant.calibration.sources.data import SOURCES

    return SOURCES


def _rows(about: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "about": text} for name, text in about.items()]


def _documented(table: Registry[Any]) -> list[dict[str, Any]]:
    """Return parts whose docstring says what they are, or what they return."""
    rows = []
    for name, part in table.items():
        line = str(part.__doc__ or "").strip().split("\n")[0].replace("``", "`")
        about = line.removeprefix("Return ")
        rows.append({"name": name, "about": about[:1].upper() + about[1:]})
    return rows


def _targets() -> list[dict[str, Any]]:
    rows = []
    for name, target in _target_table().items():
        about = (
            f"{target.title}: {target.activation.name} activations, {target.weight.name} weights"
        )
        about += f"; also {', '.join(target.aliases)}" if target.aliases else ""
        rows.append({"name": name, "about": about, "aliases": list(target.aliases)})
    return rows


def _devices() -> list[dict[str, Any]]:
    rows = []
    for name, target in _target_table().items():
        for device in target.devices:
            rates = ", ".join(f"{p} {rate / 1e12:g}" for p, rate in device.peak.items())
            memory = "no public figure of its memory"
            if device.bandwidth is not None:
                memory = f"{device.bandwidth / 1e9:g} GB/s"
            rows.append(
                {
                    "name": device.name,
                    "about": f"{device.title}, for {name}: {rates} x 10^12 operations/s; {memory}",
                    "target": name,
                    "title": device.title,
                    "peak": dict(device.peak),
                    "bandwidth": device.bandwidth,
                    "sources": dict(device.sources),
                }
            )
    return rows


def _precisions() -> list[dict[str, Any]]:
    from quant.formats.precision import Precision

    rows = []
    for precision in Precision:
        has, emulates = [], []
        for name, target in _target_table().items():
            if precision in target.formats or precision in target.float_precisions:
                has.append(name)
            elif precision in target.simulated_formats:
                emulates.append(name)
        bits = f"{precision.weight_bits}-bit weights, {precision.activation_bits}-bit activations"
        where = [f"computed by {', '.join(has)}"] if has else []
        where += [f"simulated for {', '.join(emulates)}"] if emulates else []
        rows.append(
            {
                "name": str(precision),
                "about": f"{bits}; {'; '.join(where)}",
                "targets": has,
                "simulated": emulates,
            }
        )
    return rows


def _metrics() -> list[dict[str, Any]]:
    rows = []
    for name, metric in _metric_table().items():
        needs = "no labels needed" if metric.against_float else "needs --labels"
        rows.append(
            {
                "name": name,
                "about": f"{metric.about} ({metric.unit}; {metric.better} is better; {needs})",
                "unit": metric.unit,
                "better": metric.better,
                "needs_labels": not metric.against_float,
            }
        )
    return rows


def _rules() -> list[dict[str, Any]]:
    return [row for target in _target_table().values() for row in _rows(target.rules)]

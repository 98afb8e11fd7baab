"""Measured layer times read from a user's CSV, TensorRT's profile or Ascend's operator table.

Rows are matched to layers by name, also where a compiler has fused several nodes into one row.
"""

__all__ = ["Latency", "LayerNames", "read_latency"]

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from math import isfinite
from pathlib import Path

from quant.common.errors import InputError, reason_of
from quant.cost.layer_costs import CostTable
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph

SEPARATORS = re.compile(r" \+ | \|\| |, |\(|\)")
"""Separators of the nodes of a fused layer: TensorRT's "a + b", "a || b", "PWN(a, b)"."""

REPLACED = re.compile(r"[,:'*\x00-\x1f\x7f]")
"""Characters that an export for TensorRT replaces by `_` in a node's name."""

COPY_ROWS = ("Reformatting CopyNode",)
"""Beginnings of rows that move a tensor between two layers; they name the second one."""

COLUMNS = ("layer", "precision", "milliseconds")
"""Columns of a user's CSV."""

ASCEND = ("Op Name", "Task Duration(us)")
"""Columns of `op_summary_*.csv`: Huawei, msprof, export of AI Core and AI CPU operators."""


@dataclass(frozen=True)
class LayerNames:
    """Finds the layers of a graph by the names that rows of measured times may have."""

    graph: Graph

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in topological order."""
        return tuple(x.name for x in self.graph.layers)

    @cached_property
    def _by_node(self) -> dict[str, str]:
        """The layer by node name: the layer's own node, or the activation it absorbed."""
        by_node: dict[str, str] = {}
        for layer in self.graph.layers:
            by_node[layer.name] = layer.name
            if layer.activation is not None:
                by_node[str(layer.activation.name)] = layer.name
        for name, layer_name in list(by_node.items()):
            by_node.setdefault(REPLACED.sub("_", name), layer_name)
        return by_node

    def of(self, row: str) -> list[str]:
        """Return the layers that a row is about, in topological order; [] for none.

        A row is the name of a node, names joined as TensorRT joins fused nodes, or names joined
        without a separator, as Ascend's compiler does ("conv1relu1"). Parts that are not a node of
        the graph, such as the quantizer of a weight, are ignored.
        """
        if row in self._by_node:
            return [self._by_node[row]]
        if row.startswith(COPY_ROWS):
            return []
        parts = [p for p in SEPARATORS.split(row) if p]
        matches = {self._by_node[p] for p in parts if p in self._by_node}
        matches = matches or set(self._together(row))
        return [name for name in self.layers if name in matches]

    def _together(self, row: str) -> list[str]:
        """Return the layers whose names make up the whole row without separators."""
        ends: dict[int, list[str]] = {0: []}
        for start in range(len(row)):
            if start not in ends:
                continue
            for name in self._starting(row, start):
                ends.setdefault(start + len(name), [*ends[start], self._by_node[name]])
        return ends.get(len(row), [])

    def _starting(self, row: str, start: int) -> Iterator[str]:
        for length in self._lengths:
            if (part := row[start : start + length]) in self._by_node and len(part) == length:
                yield part

    @cached_property
    def _lengths(self) -> list[int]:
        """The lengths of names, longest first."""
        return sorted({len(name) for name in self._by_node if name}, reverse=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """The measured times of a network on a device.

    Attributes:
        path: Path of the file.
        times: Milliseconds of one sample by (layer, precision).
        others: Milliseconds by name of rows that are not a layer: copies, work of the host.
    """

    path: str
    times: Mapping[tuple[str, Precision], float]
    others: Mapping[str, float]


def read_latency(
    path: Path,
    names: LayerNames,
    table: CostTable,
    precisions: Mapping[str, Precision] | None = None,
    batch: int = 1,
) -> Latency:
    """Read measured times.

    The file is a CSV with the columns layer, precision and milliseconds; the JSON of `trtexec
    --exportProfile`; or msprof's `op_summary_*.csv`, of which the mean over its inferences is taken.
    The time of a row of several layers is divided in proportion to their predicted times.

    Args:
        path: The file.
        names: Names of the graph's layers.
        table: The predicted costs.
        precisions: Precision of each layer of the profiled network, for a profile that does not say
            so; None where the user did not say it either.
        batch: Samples in an inference; the times of the file are of one inference.

    Raises:
        InputError: The file is none of these, a CSV names an unknown layer or precision, a time is
            not a number, or no row is a layer.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {reason_of(error)}. Mend the path.") from error
    json_like = text.lstrip().startswith(("[", "{"))
    rows = [] if json_like else _rows(text, path)
    if json_like:
        latency = _profile(_trtexec(text, path), path, names, table, precisions)
    elif rows and set(ASCEND) <= set(rows[0]):
        latency = _profile(_msprof(rows, path), path, names, table, precisions)
    else:
        latency = _own(rows, path, names, table)
    return Latency(
        path=latency.path,
        times={key: spent / batch for key, spent in latency.times.items()},
        others={key: spent / batch for key, spent in latency.others.items()},
    )


def _own(rows: Sequence[Sequence[str]], path: Path, names: LayerNames, table: CostTable) -> Latency:
    """Read a user's CSV; every unknown name in it is an error."""
    header = [cell.strip() for cell in rows[0]] if rows else []
    if sorted(header) != sorted(COLUMNS):
        raise InputError(
            f"{path}:1: measured times have the columns {', '.join(COLUMNS)}, saw "
            f"'{','.join(header)}'. Mend the first line."
        )
    precisions = list(dict.fromkeys(precision for _, precision in table.layers))
    times: dict[tuple[str, Precision], float] = defaultdict(float)
    read: set[tuple[str, Precision]] = set()
    for line, row in enumerate(rows[1:], 2):
        place = f"{path}:{line}"
        if len(row) != len(header):
            raise InputError(
                f"{place}: a line has {len(header)} cells, saw {len(row)}. Put a name with a comma in "
                "double quotes."
            )
        cells = dict(zip(header, row, strict=True))
        name, cell = _unguarded(cells["layer"]), cells["precision"].strip()
        matches = names.of(name)
        if not matches:
            raise InputError(f"{place}: {_no('layer', name, names.layers)}")
        if cell not in precisions:
            raise InputError(f"{place}: {_no('precision', cell, precisions, all_known=True)}")
        precision = Precision(cell)
        if (name, precision) in read:
            raise InputError(
                f"{place}: '{name}' in {precision} is listed twice. Keep one of both lines."
            )
        read.add((name, precision))
        spent = _number(cells["milliseconds"], place)
        _share(times, [(layer, precision) for layer in matches], spent, table)
    if not times:
        raise InputError(f"{path}: it has no line but the first. Add a line for each layer.")
    return Latency(path=str(path), times=dict(times), others={})


def _profile(
    spent: Mapping[str, float],
    path: Path,
    names: LayerNames,
    table: CostTable,
    precisions: Mapping[str, Precision] | None,
) -> Latency:
    """Divide the rows of a profiler among the layers; unknown names are kernels of its own."""
    if precisions is None:
        raise InputError(
            f"{path}: a profile does not say in which precision the network was built. Give one "
            "--precision."
        )
    times: dict[tuple[str, Precision], float] = defaultdict(float)
    others: dict[str, float] = {}
    for name, milliseconds in spent.items():
        matches = names.of(name)
        _share(times, [(layer, precisions[layer]) for layer in matches], milliseconds, table)
        if not matches:
            others[name] = milliseconds
    if not times:
        first = next(iter(spent), "")
        raise InputError(
            f"{path}: none of its {len(spent)} rows is a layer of the model, for example '{first}'. "
            "Give the --model that the engine was built from."
        )
    return Latency(path=str(path), times=dict(times), others=others)


def _share(
    times: dict[tuple[str, Precision], float],
    keys: Sequence[tuple[str, Precision]],
    milliseconds: float,
    table: CostTable,
) -> None:
    """Add a row's time to its layers in proportion to their predicted times, else equally."""
    predicted = [table.layers[key].milliseconds for key in keys]
    total = sum(predicted)
    for key, part in zip(keys, predicted, strict=True):
        times[key] += milliseconds * (part / total if total else 1 / len(keys))


def _trtexec(text: str, path: Path) -> dict[str, float]:
    """Return averageMs by name: [{"count": n}, {"name": ..., "averageMs": ...}, ...]."""
    try:
        rows = json.loads(text)
        spent: dict[str, float] = defaultdict(float)
        for row in rows if isinstance(rows, list) else [{"name": ""}]:
            if "name" in row:
                spent[str(row["name"])] += _positive(float(row["averageMs"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: it is no JSON of trtexec --exportProfile, a list of name and averageMs: "
            f"{type(error).__name__}: {str(error).rstrip('.')}. Export it again."
        ) from error
    return dict(spent)


def _msprof(rows: Sequence[Sequence[str]], path: Path) -> dict[str, float]:
    """Return the mean of Task Duration by Op Name, in milliseconds."""
    name, duration = (rows[0].index(column) for column in ASCEND)
    durations: dict[str, list[float]] = defaultdict(list)
    for line, row in enumerate(rows[1:], 2):
        if len(row) <= max(name, duration):
            raise InputError(f"{path}:{line}: the line is cut off. Export the table again.")
        durations[row[name]].append(_number(row[duration], f"{path}:{line}") / 1e3)
    return {n: sum(times) / len(times) for n, times in durations.items()}


def _rows(text: str, path: Path) -> list[list[str]]:
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise InputError(f"{path}: it is no CSV: {error}. Mend that place.") from error


def _number(text: str, place: str) -> float:
    """Return a time."""
    try:
        return _positive(float(text))
    except ValueError:
        raise InputError(
            f"{place}: a time is a number from 0 up, saw '{text}'. Write 0.125 for 125 us."
        ) from None


def _positive(value: float) -> float:
    if not (isfinite(value) and value >= 0):
        raise ValueError(f"a time of {value}")
    return value


def _unguarded(text: str) -> str:
    """Remove the apostrophe that keeps spreadsheets from reading a name as a formula."""
    bare = text.lstrip("'")
    return text[1:] if text.startswith("'") and bare[:1] in "=+-@\t\r\n" and bare else text


def _no(what: str, name: str, known: Collection[str], *, all_known: bool = False) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    if all_known:
        return f"no {what} is named '{name}'.{hint} Known: {', '.join(known)}."
    return f"no {what} is named '{name}'.{hint} Write it as quant roofline does."

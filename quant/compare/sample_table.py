"""What float and a candidate answered to every sample: collected batch by batch, and as CSV.

A gate decides on these, so that it needs neither the networks nor the data.
"""

__all__ = [
    "SampleCollector",
    "SampleTable",
    "joined",
    "read_samples",
    "samples_csv",
]

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.common.errors import InputError, reason_of
from quant.metrics.metric import Metric
from quant.metrics.squared_error import row_errors

F64 = NDArray[np.float64]


I64 = NDArray[np.int64]


FIXED_COLUMNS = ("sample", "digest", "label", "float_class", "class")


BY_NAME = ("float_scores", "scores", "signal", "noise")


SIGNAL, NOISE, FLOAT_SCORE, SCORE = "signal:", "noise:", "float_score:", "score:"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleTable:
    """One row for each sample, in the order of measuring.

    Attributes:
        keys: Who they are.
        digests: 16 hex digits of the content each; "" where the source gave none.
        labels: The true class, -1 where there is none; int64 `[n]`.
        float_class: The class that float says, -1 where the outputs are no classes; int64 `[n]`.
        quantized_class: The class that the candidate says, -1 also where its scores are not finite.
        float_scores: By metric name, float64 `[n]`.
        scores: The same of the candidate.
        signal: By output name, the sum of squares of float's output; float64 `[n]`, nan where the
            rows of an output are not samples.
        noise: By output name, that of the difference.
        better: By metric name "higher" or "lower".
    """

    keys: tuple[str, ...]
    digests: tuple[str, ...]
    labels: I64
    float_class: I64
    quantized_class: I64
    float_scores: Mapping[str, F64]
    scores: Mapping[str, F64]
    signal: Mapping[str, F64]
    noise: Mapping[str, F64]
    better: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def copies(self) -> str:
        """A sentence if some samples have the content of others; "" otherwise.

        Statistics take every sample for a new one.
        """
        digests = [digest for digest in self.digests if digest]
        count = len(digests) - len(set(digests))
        if not count:
            return ""
        return (
            f"{count} of the {len(self)} samples are copies of others and say nothing new; the "
            "intervals count them all, and are too narrow"
        )

    def rows(self, chosen: NDArray[np.bool_]) -> "SampleTable":
        """Return the rows where `chosen`, bool `[n]`, is true."""
        picked = np.flatnonzero(chosen)
        taken: dict[str, Any] = {
            f: tuple(getattr(self, f)[i] for i in picked) for f in ("keys", "digests")
        }
        taken |= {f: getattr(self, f)[picked] for f in ("labels", "float_class", "quantized_class")}
        taken |= {f: {k: v[picked] for k, v in getattr(self, f).items()} for f in BY_NAME}
        return replace(self, **taken)


def joined(parts: Sequence[SampleTable]) -> SampleTable:
    """Return tables of one shape as one, in their order; at least one."""
    first = parts[0]
    taken: dict[str, Any] = {
        field: {k: np.concatenate([getattr(p, field)[k] for p in parts]) for k in names}
        for field in BY_NAME
        for names in (getattr(first, field),)
    }
    for column in ("labels", "float_class", "quantized_class"):
        taken[column] = np.concatenate([getattr(p, column) for p in parts])
    for column in ("keys", "digests"):
        taken[column] = tuple(x for p in parts for x in getattr(p, column))
    return replace(first, **taken)


def samples_csv(table: SampleTable) -> str:
    """Return `samples.csv`: a header and a row a sample; numbers as they are read back exactly.

    A metric's direction stands in its column, `score:top1 (higher)`. A cell that a spreadsheet
    would run as a formula gets a leading apostrophe, which reading takes off again.
    """
    columns: list[tuple[str, Sequence[Any]]] = [
        ("sample", [_guarded(k) for k in table.keys]),
        ("digest", [f"'{d}" if d else "" for d in table.digests]),
        ("label", table.labels.tolist()),
        ("float_class", table.float_class.tolist()),
        ("class", table.quantized_class.tolist()),
    ]
    for start, values in ((FLOAT_SCORE, table.float_scores), (SCORE, table.scores)):
        columns += [(f"{start}{k} ({table.better[k]})", v.tolist()) for k, v in values.items()]
    for start, values in ((SIGNAL, table.signal), (NOISE, table.noise)):
        columns += [(f"{start}{k}", v.tolist()) for k, v in values.items()]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    writer.writerows(zip(*(cells for _, cells in columns), strict=True))
    return out.getvalue()


def _guarded(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n", "'") else text


def read_samples(path: Path) -> SampleTable:
    """Read what `samples_csv` returned.

    Raises:
        InputError: The file is missing, or is no such table; with the line.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path}: a gate needs the answers to each sample: {reason_of(error)}. Run quant calibrate again."
        ) from error
    head, body = (rows[0], rows[1:]) if rows else ([], [])
    if tuple(head[: len(FIXED_COLUMNS)]) != FIXED_COLUMNS or not body:
        raise InputError(
            f"{path}:1: a table of samples begins with {', '.join(FIXED_COLUMNS)} and has a row a sample, "
            f"saw {len(body)} rows below '{','.join(head)[:60]}'. Run quant calibrate again."
        )
    for number, row in enumerate(body, 2):
        if len(row) != len(head):
            raise InputError(
                f"{path}:{number}: every row has {len(head)} cells, saw {len(row)}. Run quant "
                "calibrate again."
            )
    try:
        return _table(head, list(zip(*body, strict=True)))
    except ValueError as error:
        raise InputError(f"{path}: {error}. Run quant calibrate again.") from error


def _table(head: Sequence[str], columns: Sequence[Sequence[str]]) -> SampleTable:
    cells_of = dict(zip(head, columns, strict=True))
    better: dict[str, str] = {}
    maps: dict[str, Any] = {}
    for part, start in (("float_scores", FLOAT_SCORE), ("scores", SCORE)):
        maps[part] = {}
        for name in (n for n in head if n.startswith(start)):
            metric, _, direction = name.removeprefix(start).rpartition(" (")
            better[metric] = direction.rstrip(")")
            maps[part][metric] = np.array(cells_of[name], np.float64)
    for part, start in (("signal", SIGNAL), ("noise", NOISE)):
        columns_of = {n.removeprefix(start): cells_of[n] for n in head if n.startswith(start)}
        maps[part] = {n: np.array(cells, np.float64) for n, cells in columns_of.items()}
    return SampleTable(
        keys=tuple(k.removeprefix("'") if k[:1] == "'" else k for k in cells_of["sample"]),
        digests=tuple(d.removeprefix("'") for d in cells_of["digest"]),
        labels=np.array(cells_of["label"], np.int64),
        float_class=np.array(cells_of["float_class"], np.int64),
        quantized_class=np.array(cells_of["class"], np.int64),
        **maps,
        better=better,
    )


Array = NDArray[Any]


NO_CLASS = -1
"""The class of a sample without one."""


@dataclass
class SampleCollector:
    """The rows of a candidate's sample table, collected batch by batch."""

    signal: list[list[Array]] = field(default_factory=list)
    noise: list[list[Array]] = field(default_factory=list)
    float_classes: list[Array] = field(default_factory=list)
    quantized_classes: list[Array] = field(default_factory=list)

    def add(self, expected: Sequence[Array], answered: Sequence[Array], count: int) -> None:
        """Add one batch's outputs on which errors are measured."""
        pairs = [row_errors(a, b, count) for a, b in zip(expected, answered, strict=True)]
        self.signal.append([s for s, _ in pairs])
        self.noise.append([n for _, n in pairs])

    def add_classes(self, expected: Array, answered: Array) -> None:
        """Add one batch's scores, `[count, classes]`; a row that is not finite has no class."""
        self.float_classes.append(_classes(expected))
        self.quantized_classes.append(
            _classes(answered) if answered.shape == expected.shape else _no_classes(len(expected))
        )

    def table(
        self,
        names: Sequence[str],
        samples: Sequence[tuple[str, str, int | None]],
        scores: Mapping[str, Sequence[Array]],
        float_scores: Mapping[str, Sequence[Array]],
        metrics: Sequence[Metric],
    ) -> SampleTable:
        """Return the table.

        Args:
            names: Names of the outputs that `add` was given.
            samples: Key, digest and label of each.
            scores: By metric name the candidate's, a part a batch; a metric that did not judge
                every sample is left out.
            float_scores: The same of the float network.
            metrics: The metrics, for their directions.
        """
        count = len(samples)
        classes = sum(map(len, self.float_classes)) == count
        sums = [
            {n: np.concatenate([part[i] for part in parts]) for i, n in enumerate(names)}
            for parts in (self.signal, self.noise)
        ]
        judged = {k for k, parts in scores.items() if sum(map(len, parts)) == count}
        return SampleTable(
            keys=tuple(key for key, _, _ in samples),
            digests=tuple(digest for _, digest, _ in samples),
            labels=np.array([NO_CLASS if x is None else x for _, _, x in samples], np.int64),
            float_class=np.concatenate(self.float_classes) if classes else _no_classes(count),
            quantized_class=np.concatenate(self.quantized_classes)
            if classes
            else _no_classes(count),
            float_scores={k: np.concatenate(v) for k, v in float_scores.items() if k in judged},
            scores={k: np.concatenate(v) for k, v in scores.items() if k in judged},
            signal=sums[0],
            noise=sums[1],
            better={m.name: m.better for m in metrics if m.name in judged},
        )


def _classes(scores: Array) -> Array:
    classes = scores.argmax(axis=1)
    return np.where(np.isfinite(scores).all(axis=1), classes, NO_CLASS).astype(np.int64)


def _no_classes(count: int) -> Array:
    return np.full(count, NO_CLASS, np.int64)

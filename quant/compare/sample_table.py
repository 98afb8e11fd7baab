"""Samples: what float and a candidate answered, sample by sample, and the table as CSV.

A gate decides on these, so that it needs neither the networks nor the data.
"""

__all__ = ["SampleTable", "joined", "read_samples", "samples_csv"]

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.common.errors import InputError

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

FIXED = ("sample", "digest", "label", "float_class", "class")
MAPS = ("float_scores", "scores", "signal", "noise")
SIGNAL, NOISE, BEFORE, AFTER = "signal:", "noise:", "float_score:", "score:"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleTable:
    """One row for each sample, in the order of measuring.

    Attributes:
        keys: Who they are.
        digests: 16 hex digits of the content each; "" where the source gave none.
        labels: The true class, -1 where there is none; int64 `[n]`.
        before: The class that float says, -1 where the outputs are no classes; int64 `[n]`.
        after: The class that the candidate says, -1 also where its scores are not finite.
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
    before: I64
    after: I64
    float_scores: Mapping[str, F64]
    scores: Mapping[str, F64]
    signal: Mapping[str, F64]
    noise: Mapping[str, F64]
    better: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def copies(self) -> str:
        """A sentence if some samples have the content of others; "" without.

        Statistics take every sample for a new one.
        """
        known = [digest for digest in self.digests if digest]
        count = len(known) - len(set(known))
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
        taken |= {f: getattr(self, f)[picked] for f in ("labels", "before", "after")}
        taken |= {f: {k: v[picked] for k, v in getattr(self, f).items()} for f in MAPS}
        return replace(self, **taken)


def joined(parts: Sequence[SampleTable]) -> SampleTable:
    """Return tables of one shape as one, in their order; at least one."""
    first = parts[0]
    taken: dict[str, Any] = {
        field: {k: np.concatenate([getattr(p, field)[k] for p in parts]) for k in names}
        for field in MAPS
        for names in (getattr(first, field),)
    }
    for field in ("labels", "before", "after"):
        taken[field] = np.concatenate([getattr(p, field) for p in parts])
    for field in ("keys", "digests"):
        taken[field] = tuple(x for p in parts for x in getattr(p, field))
    return replace(first, **taken)


def samples_csv(table: SampleTable) -> str:
    """Return `samples.csv`: a header and a row a sample; numbers as they are read back exactly.

    A metric's direction stands in its column, `score:top1 (higher)`. A cell that a spreadsheet
    would take for a formula gets a leading apostrophe, which reading takes off again.
    """
    columns: list[tuple[str, Sequence[Any]]] = [
        ("sample", [_guarded(k) for k in table.keys]),
        ("digest", [f"'{d}" if d else "" for d in table.digests]),
        ("label", table.labels.tolist()),
        ("float_class", table.before.tolist()),
        ("class", table.after.tolist()),
    ]
    for start, values in ((BEFORE, table.float_scores), (AFTER, table.scores)):
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
            f"{path}: a gate needs the answers to each sample: {error}. Run quant calibrate again."
        ) from error
    head, body = (rows[0], rows[1:]) if rows else ([], [])
    if tuple(head[: len(FIXED)]) != FIXED or not body:
        raise InputError(
            f"{path}:1: a table of samples begins with {', '.join(FIXED)} and has a row a sample, "
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
    by = dict(zip(head, columns, strict=True))
    better: dict[str, str] = {}
    maps: dict[str, Any] = {}
    for field, start in (("float_scores", BEFORE), ("scores", AFTER)):
        maps[field] = {}
        for name in (n for n in head if n.startswith(start)):
            metric, _, said = name.removeprefix(start).rpartition(" (")
            better[metric] = said.rstrip(")")
            maps[field][metric] = np.array(by[name], np.float64)
    for field, start in (("signal", SIGNAL), ("noise", NOISE)):
        found = {n.removeprefix(start): by[n] for n in head if n.startswith(start)}
        maps[field] = {n: np.array(cells, np.float64) for n, cells in found.items()}
    return SampleTable(
        keys=tuple(k.removeprefix("'") if k[:1] == "'" else k for k in by["sample"]),
        digests=tuple(d.removeprefix("'") for d in by["digest"]),
        labels=np.array(by["label"], np.int64),
        before=np.array(by["float_class"], np.int64),
        after=np.array(by["class"], np.int64),
        **maps,
        better=better,
    )

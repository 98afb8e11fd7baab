"""Answers: what mixed plans really measure, asked one by one and never twice."""

__all__ = ["Answer", "Answers", "Limits"]

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quant.compare import Comparison
from quant.errors import InputError
from quant.files import write_json
from quant.knapsack import Assignment
from quant.metrics import METRICS

FORMAT = "quant-answers-1"

BEST_DB = 999.0
"""Stands for an output without any error: JSON has no word for infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How good one plan is on the samples that decide.

    Attributes:
        sqnr_db: At the worst output, in dB.
        drop: What the metric loses against float, a share; lower is better. None where none judges.
        metric: Its name; "agreement" where it is the share of samples that change their class.
        samples: How many decide.
    """

    sqnr_db: float
    drop: float | None
    metric: str
    samples: int

    @classmethod
    def of(cls, found: Comparison) -> "Answer":
        """Read it from a comparison: its first metric, or the classes that change."""
        name, drop = "", None
        for name, score in found.scores.items():
            sign = 1.0 if METRICS[name].better == "higher" else -1.0
            drop = sign * (found.float_scores[name] - score)
            break
        else:
            if found.agreement is not None:
                name, drop = "agreement", 1 - found.agreement
        return cls(
            sqnr_db=min(found.sqnr_db, BEST_DB), drop=drop, metric=name, samples=found.samples
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How good a plan must be.

    Attributes:
        max_drop: Most that the metric may lose, a share; None for no limit.
        min_sqnr: Least SQNR in dB; None for no limit.
    """

    max_drop: float | None
    min_sqnr: float | None

    def kept(self, answer: Answer) -> bool:
        """Tell whether a plan is good enough.

        Raises:
            InputError: The drop is limited, and nothing judges the outputs.
        """
        if self.max_drop is not None and answer.drop is None:
            raise InputError(
                "--max-drop: nothing judges these outputs, for there are no labels and they are no "
                "class scores. Give --labels, a --metric that needs none, or --min-sqnr."
            )
        drops = self.max_drop is not None and not _at_most(answer.drop, self.max_drop)
        return not drops and (self.min_sqnr is None or answer.sqnr_db >= self.min_sqnr)

    def order(self, answer: Answer) -> tuple[float, float]:
        """Return what is greater for a better plan: by the metric if that is limited, then by SQNR."""
        drop = answer.drop if self.max_drop is not None and answer.drop is not None else 0.0
        return (-drop, -math.inf if math.isnan(answer.sqnr_db) else answer.sqnr_db)


def _at_most(drop: float | None, most: float) -> bool:
    return drop is not None and drop <= most + 1e-12


class Answers:
    """Measures assignments, and remembers what it measured in a file.

    Args:
        path: JSON, written anew after each answer; one of another `key` is not believed.
        key: Fingerprint of all that an answer depends on but the assignment.
        ask: Makes the plan of an assignment and measures it.
    """

    def __init__(self, path: Path, key: str, ask: Callable[[Assignment], Answer]) -> None:
        self._path, self._key, self._ask = path, key, ask
        self._known = _load(path, key)
        self.order: list[Assignment] = []

    def known(self, chosen: Assignment) -> bool:
        """Tell whether an assignment has been measured."""
        return chosen in self._known

    def __call__(self, chosen: Assignment) -> Answer:
        """Return the answer of an assignment."""
        if chosen not in self._known:
            self._known[chosen] = self._ask(chosen)
            self._save()
        if chosen not in self.order:
            self.order.append(chosen)
        return self._known[chosen]

    def _save(self) -> None:
        rows = [{"assignment": list(c), **asdict(a)} for c, a in sorted(self._known.items())]
        write_json(self._path, {"format": FORMAT, "key": self._key, "answers": rows})


def _load(path: Path, key: str) -> dict[Assignment, Answer]:
    """Return what an earlier run measured; nothing where the file is another's or broken."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told.get("format") != FORMAT or told.get("key") != key:
            return {}
        return dict(_row(row) for row in told["answers"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _row(row: Mapping[str, Any]) -> tuple[Assignment, Answer]:
    told = {name: row[name] for name in ("sqnr_db", "drop", "metric", "samples")}
    if told["sqnr_db"] is None:
        told["sqnr_db"] = math.nan
    return tuple(int(k) for k in row["assignment"]), Answer(**told)

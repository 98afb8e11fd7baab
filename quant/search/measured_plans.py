"""Answers: what mixed plans really measure, asked one by one and never twice."""

__all__ = ["MeasuredPlans", "PlanLimits", "PlanScore"]

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.common.files import KeyedFile
from quant.compare.comparison import Comparison
from quant.search.knapsack import Assignment

FORMAT = "quant-answers-1"

BEST_DB = 999.0
"""Stands for an output without any error: JSON has no word for infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanScore:
    """How good one plan is on the samples that decide.

    Attributes:
        sqnr_db: At the worst output, in dB.
        drop: What the metric loses against float, a share; lower is better. None where none judges.
        margin: Standard error of the drop: of the mean of its differences, sample by sample.
        metric: Its name; "agreement" where it is the share of samples that change their class.
        samples: How many decide.
    """

    sqnr_db: float
    drop: float | None
    margin: float = 0.0
    metric: str
    samples: int

    @classmethod
    def of(cls, found: Comparison) -> "PlanScore":
        """Read it from a comparison: its first metric, or the classes that change."""
        name, lost = _lost(found)
        return cls(
            sqnr_db=min(found.sqnr_db, BEST_DB),
            drop=float(lost.mean()) if lost.size else None,
            margin=float(lost.std() / math.sqrt(lost.size)) if lost.size else 0.0,
            metric=name,
            samples=found.samples,
        )


def _lost(found: Comparison) -> tuple[str, NDArray[np.float64]]:
    """Return what judges, and float64 `[n]` what each sample loses by it; `[0]` where nothing does."""
    table = found.table
    if table is not None:
        for name, scores in table.scores.items():
            sign = 1.0 if table.better[name] == "higher" else -1.0
            return name, np.asarray(sign * (table.float_scores[name] - scores), np.float64)
        if found.agreement is not None:
            return "agreement", np.asarray(table.float_class != table.quantized_class, np.float64)
    return "", np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLimits:
    """How good a plan must be.

    Attributes:
        max_drop: Most that the metric may lose, a share; None for no limit. The drop and its
            standard error together must keep it: of many plans that are measured on few samples the
            one that looks best has luck too, and loses it on others. (The one-standard-error rule:
            Breiman et al. 1984, "Classification and Regression Trees", section 3.4.3.) A gain is
            luck altogether, and counts as no drop.
        min_sqnr: Least SQNR in dB; None for no limit.
    """

    max_drop: float | None
    min_sqnr: float | None

    def kept(self, answer: PlanScore) -> bool:
        """Tell whether a plan is good enough.

        Raises:
            InputError: The drop is limited, and nothing judges the outputs.
        """
        if self.max_drop is not None and answer.drop is None:
            raise InputError(
                "--max-drop: nothing judges these outputs, for there are no labels and they are no "
                "class scores. Give --labels, a --metric that needs none, or --min-sqnr."
            )
        loses = math.inf if answer.drop is None else max(answer.drop, 0.0) + answer.margin
        dropped = self.max_drop is not None and not loses <= self.max_drop + 1e-12
        return not dropped and (self.min_sqnr is None or answer.sqnr_db >= self.min_sqnr)

    def order(self, answer: PlanScore) -> tuple[float, float]:
        """Return what is greater for a better plan: by the metric if that is limited, then by SQNR."""
        drop = answer.drop if self.max_drop is not None and answer.drop is not None else 0.0
        return (-drop, -math.inf if math.isnan(answer.sqnr_db) else answer.sqnr_db)


class MeasuredPlans:
    """Measures assignments, and remembers what it measured in a file.

    Args:
        path: JSON, written anew after each answer; one of another `key` is not believed.
        key: Fingerprint of all that an answer depends on but the assignment.
        ask: Makes the plan of an assignment and measures it.
    """

    def __init__(self, path: Path, key: str, ask: Callable[[Assignment], PlanScore]) -> None:
        self._file, self._ask = KeyedFile(path=path, format=FORMAT, key=key), ask
        self._known = _load(self._file)
        self.order: list[Assignment] = []

    def known(self, chosen: Assignment) -> bool:
        """Tell whether an assignment has been measured."""
        return chosen in self._known

    @property
    def every(self) -> Mapping[Assignment, PlanScore]:
        """All answers, of earlier runs too."""
        return dict(sorted(self._known.items()))

    def __call__(self, chosen: Assignment) -> PlanScore:
        """Return the answer of an assignment."""
        if chosen not in self._known:
            self._known[chosen] = self._ask(chosen)
            self._save()
        if chosen not in self.order:
            self.order.append(chosen)
        return self._known[chosen]

    def _save(self) -> None:
        rows = [{"assignment": list(c), **asdict(a)} for c, a in sorted(self._known.items())]
        self._file.write({"answers": rows})


def _load(file: KeyedFile) -> dict[Assignment, PlanScore]:
    """Return the scores of an earlier run; none where the file is of another search or broken."""
    try:
        return dict(_row(row) for row in (file.read() or {"answers": ()})["answers"])
    except (ValueError, KeyError, TypeError):
        return {}


def _row(row: Mapping[str, Any]) -> tuple[Assignment, PlanScore]:
    score = {name: row[name] for name in ("sqnr_db", "drop", "margin", "metric", "samples")}
    if score["sqnr_db"] is None:
        score["sqnr_db"] = math.nan
    return tuple(int(k) for k in row["assignment"]), PlanScore(**score)

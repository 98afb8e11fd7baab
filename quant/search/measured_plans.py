"""Scores of mixed plans, each measured once and kept in a file."""

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
        drop: What the metric loses against float, a share; lower is better. None without a metric.
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
    def of(cls, comparison: Comparison) -> "PlanScore":
        """Return the score of a comparison, by its first metric, or by the classes that change."""
        name, lost = _lost(comparison)
        return cls(
            sqnr_db=min(comparison.sqnr_db, BEST_DB),
            drop=float(lost.mean()) if lost.size else None,
            margin=float(lost.std() / math.sqrt(lost.size)) if lost.size else 0.0,
            metric=name,
            samples=comparison.samples,
        )


def _lost(comparison: Comparison) -> tuple[str, NDArray[np.float64]]:
    """Return the metric, and float64 `[n]` what each sample loses by it; `[0]` without a metric."""
    table = comparison.table
    if table is not None:
        for name, scores in table.scores.items():
            sign = 1.0 if table.better[name] == "higher" else -1.0
            return name, np.asarray(sign * (table.float_scores[name] - scores), np.float64)
        if comparison.agreement is not None:
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
            luck alone, and counts as no drop.
        min_sqnr: Least SQNR in dB; None for no limit.
    """

    max_drop: float | None
    min_sqnr: float | None

    def kept(self, score: PlanScore) -> bool:
        """Return whether a plan is good enough.

        Raises:
            InputError: The drop is limited, and nothing judges the outputs.
        """
        if self.max_drop is not None and score.drop is None:
            raise InputError(
                "--max-drop: nothing judges these outputs, for there are no labels and they are no "
                "class scores. Give --labels, a --metric that needs none, or --min-sqnr."
            )
        loses = math.inf if score.drop is None else max(score.drop, 0.0) + score.margin
        dropped = self.max_drop is not None and not loses <= self.max_drop + 1e-12
        return not dropped and (self.min_sqnr is None or score.sqnr_db >= self.min_sqnr)

    def order(self, score: PlanScore) -> tuple[float, float]:
        """Return a sort key, larger for a better plan: by the metric if limited, then by SQNR."""
        drop = score.drop if self.max_drop is not None and score.drop is not None else 0.0
        return (-drop, -math.inf if math.isnan(score.sqnr_db) else score.sqnr_db)


class MeasuredPlans:
    """Measures assignments, each once: a file keeps the scores.

    Args:
        path: JSON, rewritten after each score; a file of another `key` is not read.
        key: Fingerprint of all that a score depends on but the assignment.
        measure: Makes the plan of an assignment and measures it.
    """

    def __init__(self, path: Path, key: str, measure: Callable[[Assignment], PlanScore]) -> None:
        self._file, self._measure = KeyedFile(path=path, format=FORMAT, key=key), measure
        self._scores = _load(self._file)

    def known(self, chosen: Assignment) -> bool:
        """Return whether an assignment has been measured."""
        return chosen in self._scores

    @property
    def every(self) -> Mapping[Assignment, PlanScore]:
        """All scores, of earlier runs too."""
        return dict(sorted(self._scores.items()))

    def __call__(self, chosen: Assignment) -> PlanScore:
        """Return the score of an assignment."""
        if chosen not in self._scores:
            self._scores[chosen] = self._measure(chosen)
            self._save()
        return self._scores[chosen]

    def _save(self) -> None:
        rows = [{"assignment": list(c), **asdict(s)} for c, s in sorted(self._scores.items())]
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

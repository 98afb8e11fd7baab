"""Measure how often a gate's verdict is wrong, where the truth is known because it was made up.

    python benchmarks/gate_errors.py --decisions 2000

Two made-up classifiers answer the same samples; the share that only float gets right exceeds the
share that only the quantized one gets right by the true drop. The gate's limit is 1 point. Each row
is as many independent decisions as asked for: *wrong* is a pass beyond the limit, a fail within it,
and on the limit itself, the hardest place, either one. "bare" compares two accuracies, as most
gates do; it is never undecided, and on the limit it must be wrong one way or the other.
"""

__all__ = ["main"]

import sys

sys.path.append(sys.path.pop(0))  # see profile.py beside this file

import argparse
import json
from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np

from quant.gate.bootstrap import mean_bounds
from quant.gate.decide import drop_outcome
from quant.gate.paired_test import Paired
from quant.gate.sequential import levels, looks

LIMIT = 0.01
LEVEL = 0.05


@dataclass(frozen=True)
class Row:
    """One setting, and the shares of verdicts in it."""

    gate: str
    samples: int
    discordant: float
    drop: float
    wrong_pass: float
    wrong_fail: float
    undecided: float
    seen: float


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks/gate_errors.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--decisions", type=int, default=2000, help="a row (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the made-up answers")
    parser.add_argument("--json", action="store_true", help="rows as JSON, nothing else")
    chosen = parser.parse_args()
    rows = []
    for samples, discordant in ((500, 0.04), (2000, 0.04), (2000, 0.10)):
        for drop in (0.0, 0.005, 0.01, 0.015, 0.02, *((0.06,) if discordant > 0.06 else ())):
            answers = made_up(chosen.decisions, samples, discordant, drop, chosen.seed)
            rows += [bare(answers, drop, discordant), fixed(answers, drop, discordant)]
            rows.append(sequential(answers, drop, discordant))
    for drop in (0.005, 0.01, 0.015):
        rows.append(resampled(chosen.decisions, 300, drop, chosen.seed))
    if chosen.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    show(rows, chosen.decisions)


def made_up(decisions: int, samples: int, discordant: float, drop: float, seed: int) -> np.ndarray:
    """Return int8 `[decisions, samples]`: 1 lost, -1 won, 0 the same."""
    rng = np.random.default_rng([seed, samples, round(1e6 * drop)])
    u = rng.random((decisions, samples), np.float32)
    lost, won = (discordant + drop) / 2, (discordant - drop) / 2
    return (u < lost).astype(np.int8) - (u >= 1 - won).astype(np.int8)


def counted(verdicts: list[str], drop: float, **row: object) -> Row:
    share = {k: n / len(verdicts) for k, n in Counter(verdicts).items()}
    return Row(
        drop=drop,
        wrong_pass=share.get("pass", 0.0) if drop >= LIMIT else 0.0,
        wrong_fail=share.get("fail", 0.0) if drop <= LIMIT else 0.0,
        undecided=share.get("undecided", 0.0),
        **row,
    )


def bare(answers: np.ndarray, drop: float, discordant: float) -> Row:
    """Compare two accuracies: pass when the drop that was seen is within the limit."""
    seen = answers.mean(axis=1, dtype=np.float64)
    verdicts = ["pass" if x <= LIMIT else "fail" for x in seen]
    n = answers.shape[1]
    return counted(verdicts, drop, gate="bare", samples=n, discordant=discordant, seen=float(n))


def fixed(answers: np.ndarray, drop: float, discordant: float) -> Row:
    n = answers.shape[1]
    verdicts = [drop_outcome(pair(x), LIMIT, LEVEL) for x in answers]
    return counted(verdicts, drop, gate="gate", samples=n, discordant=discordant, seen=float(n))


def pair(answers: np.ndarray) -> Paired:
    lost, won = int((answers > 0).sum()), int((answers < 0).sum())
    return Paired(samples=len(answers), lost=lost, won=won)


def sequential(answers: np.ndarray, drop: float, discordant: float) -> Row:
    n = answers.shape[1]
    counts = looks(n)
    shares = levels(counts, LEVEL)
    verdicts, seen = [], 0
    for row in answers:
        for count, level in zip(counts, shares, strict=True):
            verdict = drop_outcome(pair(row[:count]), LIMIT, level)
            if verdict != "undecided":
                break
        verdicts.append(verdict)
        seen += count
    mean = seen / len(answers)
    return counted(verdicts, drop, gate="sequential", samples=n, discordant=discordant, seen=mean)


def resampled(decisions: int, samples: int, drop: float, seed: int) -> Row:
    """Judge a skewed score by the bootstrap: most samples lose nothing, a few lose much."""
    rng = np.random.default_rng([seed, 7, round(1e6 * drop)])
    verdicts = []
    for _ in range(decisions):
        lost = rng.exponential(0.1, samples) * (rng.random(samples) < 0.3) - 0.03 + drop
        low, high = mean_bounds(lost, LEVEL)
        verdicts.append("pass" if high <= LIMIT else "fail" if low > LIMIT else "undecided")
    return counted(
        verdicts, drop, gate="bootstrap", samples=samples, discordant=0.3, seen=float(samples)
    )


def show(rows: list[Row], decisions: int) -> None:
    print(f"limit {100 * LIMIT:g} point, confidence {1 - LEVEL:g}, {decisions} decisions a row\n")
    head = ("gate", "samples", "discordant", "true drop", "wrong pass", "wrong fail")
    print(("{:<11}" + "{:>11}" * 7).format(*head, "undecided", "samples seen"))
    for row in rows:
        print(
            f"{row.gate:<11}{row.samples:>11}{100 * row.discordant:>9.0f} %{100 * row.drop:>7.1f} pts"
            f"{100 * row.wrong_pass:>9.2f} %{100 * row.wrong_fail:>9.2f} %"
            f"{100 * row.undecided:>9.1f} %{row.seen:>11.0f}"
        )
        if row.gate == "sequential":
            print()


if __name__ == "__main__":
    main()

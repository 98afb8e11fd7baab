"""Measure every observer on every target: output SQNR and top-1 agreement on held-out samples.

Cases are read from a TOML file, whose paths are relative to it:

    [[case]]
    model = "models/net.onnx"
    data = "photos"
    samples = 100              # calibrate; default 100
    holdout = 300              # measure; default 300
    size = "224x224"           # and any other preprocessing flag
    mean = "127,127,127"

The plan is what `quant calibrate` makes, bias correction included, and is simulated in ONNX
Runtime. A Markdown table is printed: the SQNR of the worst output, and how often the simulated
network's first output has the same largest entry as the float one's.
"""

__all__ = ["main"]

import sys

sys.path.append(sys.path.pop(0))  # see profile.py beside this file

import argparse
import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from subject import FLAGS, Subject, open_subject

from quant.calibration import Batch, split
from quant.calibration.profiling.run_profile import profile
from quant.choose.planner import Planner
from quant.common.errors import InputError, QuantError
from quant.graph.session import open_session, open_simulation
from quant.observers import OBSERVERS
from quant.profile.statistics import Profile
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS

TARGET_NAMES = ("onnxruntime", "tensorrt")
KEYS = {"model", "data", "samples", "holdout", *FLAGS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One observer on one target.

    Attributes:
        sqnr_db: Of the worst output, in dB; higher is better.
        agreement: Share of samples with the float network's largest entry; None where the first
            output is no row of classes.
    """

    model: str
    target: str
    observer: str
    sqnr_db: float
    agreement: float | None


def cases(path: Path) -> list[dict[str, Any]]:
    """Read the cases; raises InputError."""
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("case")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cases are a TOML file: {error}. Mend the file.") from error
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}: at least one [[case]] is needed, saw none. Add one.")
    for number, row in enumerate(rows, 1):
        if wrong := sorted({"model", "data"} - set(row)):
            raise InputError(f"{path}, case {number}: '{wrong[0]}' is missing. Add it.")
        if wrong := sorted(set(row) - KEYS):
            known = ", ".join(sorted(KEYS))
            raise InputError(f"{path}, case {number}: no key '{wrong[0]}'. Known: {known}.")
    return rows


def outputs(session: Any, samples: Sequence[Batch]) -> list[NDArray[np.float32]]:
    """Return every output over all samples."""
    found = [[o[: b.count] for o in session.run(None, dict(b.feeds))] for b in samples]
    return [np.concatenate(one) for one in zip(*found, strict=True)]


def sqnr_db(reference: NDArray[Any], simulated: NDArray[Any]) -> float:
    """Return 10 * log10(sum(reference**2) / sum((reference - simulated)**2)) in float64."""
    wide = reference.astype(np.float64)
    noise = float(np.sum((wide - simulated) ** 2))
    signal = float(np.sum(wide**2))
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def scored(case: Mapping[str, Any], base: Path, threads: int) -> Iterator[Score]:
    """Measure one case: profile once, then choose and simulate for each observer and target."""
    model, data = (_place(str(case[key]), base) for key in ("model", "data"))
    flags = {name: str(case[name]) if name in case else None for name in FLAGS}
    subject = open_subject(model, data, flags)
    calibrate, measure = split(
        len(subject.data), int(case.get("samples", 100)), int(case.get("holdout", 300)), 0
    )
    seen = profile(subject.graph, subject.stream(calibrate, subject.batch), threads=threads)
    held = list(subject.stream(measure, subject.batch))
    reference = outputs(open_session(subject.graph.model, threads=threads), held)
    for target in TARGET_NAMES:
        for observer in OBSERVERS:
            found = simulated(subject, seen, target, observer, held, threads)
            pairs = list(zip(reference, found, strict=True))
            first, other = pairs[0]
            same = first.argmax(-1) == other.argmax(-1) if first.ndim == 2 else None
            yield Score(
                model=subject.graph.name,
                target=target,
                observer=observer,
                sqnr_db=min(sqnr_db(a, b) for a, b in pairs),
                agreement=float(same.mean()) if same is not None else None,
            )


def simulated(
    subject: Subject,
    seen: Profile,
    target: str,
    observer: str,
    samples: Sequence[Batch],
    threads: int,
) -> list[NDArray[np.float32]]:
    """Return the outputs of the quantized network."""
    graph, table = subject.graph, TARGETS[target]
    plan = Planner(target=table, observer=observer).plan(graph, seen)
    model = quantize_graph(graph, plan, table)
    return outputs(open_simulation(model, threads), samples)


def _place(text: str, base: Path) -> str:
    """Return a path relative to the file of cases; `module:function` as it is."""
    return str(base / text) if (base / text).exists() else text


def markdown(scores: Sequence[Score]) -> str:
    """Return the table; the best SQNR of each model and target is bold."""
    lines = [
        "| model | target | observer | output SQNR, dB | top-1 agreement, % |",
        "|---|---|---|---:|---:|",
    ]
    for one in scores:
        rivals = [s.sqnr_db for s in scores if (s.model, s.target) == (one.model, one.target)]
        value = f"{one.sqnr_db:.2f}"
        value = f"**{value}**" if one.sqnr_db == max(rivals) else value
        agreed = "" if one.agreement is None else f"{100 * one.agreement:.2f}"
        name = one.model.replace("|", "\\|")
        lines.append(f"| {name} | {one.target} | {one.observer} | {value} | {agreed} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 whatever was measured, 2 where the user can mend it."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/observers.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", metavar="CASES.toml", type=Path, help="models and their data")
    parser.add_argument("--threads", type=int, default=2, help="inside an operator; default 2")
    parser.add_argument("--json", action="store_true", help="one object for machines")
    given = parser.parse_args(arguments)
    try:
        rows = cases(given.cases)
        scores = [s for row in rows for s in scored(row, given.cases.parent, given.threads)]
    except QuantError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = {"scores": [asdict(s) for s in scores]}
    print(json.dumps(found, indent=2) if given.json else markdown(scores))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure how samples are best chosen, and what `quant select` flags of what was planted.

Cases are read from a TOML file as in benchmarks/observers.py: `model`, `data`, the preprocessing,
`pool` (default 1000) and `holdout` (default 300), of the same data and disjoint.

Three tables. Output SQNR in dB on the held-out samples, after calibration on N of the pool: by
--method of `quant select`, and N at random, several times, copies and odd ones included. The same
with a pool of which 90 % are frames of four slow videos, as cameras give; the held-out samples stay.
And of each kind that was planted into the pool how many were flagged, with the false alarms.
"""

__all__ = ["main"]

import sys

sys.path.append(sys.path.pop(0))  # see profile.py beside this file

import argparse
import json
import math
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pictures import Pictures, planted, video
from subject import FLAGS, Subject, open_subject

from quant.calibration import Batch, split
from quant.calibration.profiling.run_profile import profile
from quant.calibration.selection.coverage import METHODS
from quant.calibration.selection.features import FeatureHook
from quant.calibration.selection.pool import Pool, screened
from quant.choose.planner import Planner
from quant.common.errors import InputError, QuantError
from quant.graph.session import open_session, open_simulation
from quant.preprocess.image_to_tensor import Preprocess
from quant.profile.statistics import Profile
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS

KEYS = {"model", "data", "pool", "holdout", *FLAGS}
SCENES, FEW = 4, 10
"""Videos in the skewed pool, and one of how many of its samples is none of their frames."""
PLANTED = 5
"""Of each kind."""


def cases(path: Path) -> list[dict[str, Any]]:
    """Read the cases; raises InputError."""
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["case"]
        wrong = sorted({key for row in rows for key in row} - KEYS)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cases are [[case]] of a TOML file: {error}. Mend it.") from error
    if wrong:
        raise InputError(f"{path}: no key '{wrong[0]}'. Known: {', '.join(sorted(KEYS))}.")
    return list(rows)


@dataclass(frozen=True, slots=True)
class Ground:
    """A network with its held-out samples and what float answers to them."""

    subject: Subject
    preprocess: Preprocess
    held: Sequence[Batch]
    reference: Sequence[NDArray[Any]]
    observer: str
    threads: int

    def watched(self, data: Pictures) -> tuple[Pool, Profile]:
        """Return what is found of a pool."""
        graph = self.subject.graph
        outputs = [str(v.name) for v in graph.model.graph.outputs]
        watch = FeatureHook([str(v.name) for v in graph.inputs], outputs)
        subject = replace(self.subject, data=data)
        stream = subject.stream(range(len(data)), subject.batch)
        seen = profile(graph, stream, threads=self.threads, hook=watch)
        return screened(watch.result()), seen

    def sqnr_db(self, seen: Profile) -> float:
        """Return the SQNR of the worst output, calibrated by a profile."""
        graph, target = self.subject.graph, TARGETS["onnxruntime"]
        plan = Planner(target=target, observer=self.observer).plan(graph, seen)
        model = quantize_graph(graph, plan, target, weight_form="integer")
        found = answers(open_simulation(model, self.threads), self.held)
        return min(_sqnr(a, b) for a, b in zip(self.reference, found, strict=True))

    def calibrated(self, data: Pictures, rows: Sequence[int]) -> float:
        """Return the SQNR after calibration on some samples."""
        subject = replace(self.subject, data=data)
        seen = profile(
            subject.graph, subject.stream(list(rows), subject.batch), threads=self.threads
        )
        return self.sqnr_db(seen)


def answers(session: Any, samples: Sequence[Batch]) -> list[NDArray[Any]]:
    """Return every output over all samples."""
    found = [[o[: b.count] for o in session.run(None, dict(b.feeds))] for b in samples]
    return [np.concatenate(one) for one in zip(*found, strict=True)]


def _sqnr(reference: NDArray[Any], other: NDArray[Any]) -> float:
    wide = reference.astype(np.float64)
    noise, signal = float(np.sum((wide - other) ** 2)), float(np.sum(wide**2))
    return 10 * math.log10(signal / noise) if noise and signal else math.inf


def opened(
    case: Mapping[str, Any], base: Path, observer: str, threads: int
) -> tuple[Ground, Pictures]:
    """Return the ground of a case and its pool."""
    model, data = (str(base / str(case[key])) for key in ("model", "data"))
    flags = {name: str(case[name]) if name in case else None for name in FLAGS}
    subject = open_subject(model, data, flags)
    pool, hold = split(
        len(subject.data), int(case.get("pool", 1000)), int(case.get("holdout", 300)), 0
    )
    held = list(subject.stream(hold, subject.batch))
    reference = answers(open_session(subject.graph.model, threads=threads), held)
    preprocess = Preprocess.from_flags(None, **flags)
    pictures = Pictures(
        name=data,
        input=str(subject.graph.inputs[0].name),
        preprocess=preprocess,
        base=subject.data,
        kept=pool,
    )
    return Ground(subject, preprocess, held, reference, observer, threads), pictures


def skewed(pictures: Pictures) -> Pictures:
    """Return a pool of the same size, nine tenths of it frames of SCENES videos."""
    every = list(pictures.kept)
    scenes, few = every[:: max(1, len(every) // SCENES)][:SCENES], len(every) // FEW
    others = [i for i in every if i not in scenes][::FEW][:few]
    made = video(pictures, scenes, (len(every) - few) // SCENES)
    return replace(pictures, kept=others, made=made)


def chosen(
    ground: Ground, data: Pictures, counts: Sequence[int], seeds: int
) -> Iterator[dict[str, Any]]:
    """Yield a row for each count: SQNR by method, and of random ones, flagged or not."""
    pool, whole = ground.watched(data)
    yield {"samples": len(data), "all": ground.sqnr_db(whole)}
    for count in counts:
        row: dict[str, Any] = {"samples": count}
        for method in METHODS:
            if method != "random":
                row[method] = ground.calibrated(data, pool.choose(method, count).tolist())
        drawn = [split(len(data), count, 0, seed)[0] for seed in range(seeds)]
        found = [ground.calibrated(data, rows) for rows in drawn]
        row["random"] = found
        yield row


def flags(ground: Ground, pictures: Pictures) -> dict[str, Any]:
    """Return how many of each planted kind were flagged, and the false alarms without and with."""
    clean, _ = ground.watched(pictures)
    made = planted(pictures, PLANTED, np.random.default_rng(0))
    pool, _ = ground.watched(replace(pictures, made=made))
    n = len(pictures.kept)
    kinds = [key.split("/")[0] for key in made]
    found = {
        "duplicate": Counter(k for k, at in zip(kinds, pool.copy_of[n:], strict=True) if at >= 0),
        "odd": Counter(k for k, odd in zip(kinds, pool.out_of_domain[n:], strict=True) if odd),
    }
    return {
        "samples": n,
        "false": {
            "duplicate": [int((p.copy_of[:n] >= 0).sum()) for p in (clean, pool)],
            "odd": [int(p.out_of_domain[:n].sum()) for p in (clean, pool)],
        },
        "kinds": {
            k: {"planted": kinds.count(k), **{f: c[k] for f, c in found.items()}}
            for k in dict.fromkeys(kinds)
        },
    }


def markdown(found: Mapping[str, Any]) -> str:
    """Return the tables of one case."""
    lines = [f"## {found['model']}", ""]
    for name in ("pool", "video"):
        whole, *rows = found[name]
        lines += [f"{name}, {whole['samples']} samples; all of them: {whole['all']:.2f} dB", ""]
        lines += ["| N | coverage | kmeans | random, mean | spread | worst |", "|---:" * 6 + "|"]
        for row in rows:
            drawn = np.array(row["random"])
            cells = [f"{row['coverage']:.2f}", f"{row['kmeans']:.2f}", f"{drawn.mean():.2f}"]
            cells += [f"{drawn.std():.2f}", f"{drawn.min():.2f}"]
            lines.append(f"| {row['samples']} | {' | '.join(cells)} |")
        lines.append("")
    seen = found["flags"]
    lines += ["| planted | n | duplicate | out of domain |", "|---|---:|---:|---:|"]
    lines += [
        f"| {kind} | {row['planted']} | {row['duplicate']} | {row['odd']} |"
        for kind, row in seen["kinds"].items()
    ]
    for at, words in enumerate(("the pool alone", "the pool with what was planted")):
        row = [str(seen["false"][flag][at]) for flag in ("duplicate", "odd")]
        lines.append(f"| {words} | {seen['samples']} | {' | '.join(row)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 whatever was measured, 2 where the user can mend it."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/selection.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", metavar="CASES.toml", type=Path, help="models and their data")
    parser.add_argument("--counts", default="8,16,32,64,100", help="default 8,16,32,64,100")
    parser.add_argument("--seeds", type=int, default=4, help="of random choices; default 4")
    parser.add_argument("--observer", default="mse", help="of activations; default mse")
    parser.add_argument("--threads", type=int, default=2, help="inside an operator; default 2")
    parser.add_argument("--json", action="store_true", help="one object for machines")
    given = parser.parse_args(arguments)
    counts = [int(n) for n in given.counts.split(",")]
    every = []
    try:
        for case in cases(given.cases):
            ground, pictures = opened(case, given.cases.parent, given.observer, given.threads)
            every.append(
                {
                    "model": ground.subject.graph.name,
                    "pool": list(chosen(ground, pictures, counts, given.seeds)),
                    "video": list(chosen(ground, skewed(pictures), counts, given.seeds)),
                    "flags": flags(ground, pictures),
                }
            )
    except QuantError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(every, indent=2) if given.json else "\n\n".join(map(markdown, every)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

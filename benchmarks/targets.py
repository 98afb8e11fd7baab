"""Measure one calibration exported for several targets: a row a target, one pass over the images.

Each case of a TOML file is one run of `quant calibrate` with all targets; paths are relative to it:

    [[case]]
    model = "models/net.onnx"
    data = "photos"
    labels = "photos/labels.csv"   # optional
    samples = 100                  # calibrate; default 100
    holdout = 300                  # measure; default 300
    fallback = true                # --allow-fallback; default false
    effort = "fast"                # default balanced
    size = "224x224"               # and any other preprocessing flag
    mean = "127,127,127"

A Markdown table is printed: weighted layers by precision, SQNR of the worst output in dB (higher is
better), agreement with float and top-1 on the held-out samples, findings of the target's check, and
seconds. Profiling is the one pass over the calibration images; "write" is what a further target
costs: choosing, writing and checking, without reading an image for calibration again.
"""

__all__ = ["main"]

import sys

sys.path.append(sys.path.pop(0))  # see profile.py beside this file

import argparse
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subject import FLAGS

from quant.common.errors import QuantError
from quant.common.progress import Progress
from quant.job.settings import Job
from quant.preprocess.image_to_tensor import Preprocess
from quant.run.calibrate import calibrate

COLUMNS = (
    *("model", "target", "weighted layers", "SQNR dB", "agreement %", "top-1"),
    *("errors", "warnings"),
)


def job_of(row: Mapping[str, Any], folder: Path, out: Path, targets: tuple[str, ...]) -> Job:
    """Return the job of one case."""
    flags = {name: str(row[name]) for name in FLAGS if name in row}
    labels = row.get("labels")
    return Job(
        model=str(folder / row["model"]),
        data=str(folder / row["data"]),
        out=out,
        preprocess=Preprocess.from_flags(None, **flags),
        targets=targets,
        samples=row.get("samples", 100),
        holdout=row.get("holdout", 300),
        labels=None if labels is None else str(folder / labels),
        allow_fallback=row.get("fallback", False),
        effort=row.get("effort", "balanced"),
    )


def rows_of(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row a target from a run's facts."""
    found = []
    for name, target in facts["targets"].items():
        seen = target["simulated"]
        by = ", ".join(f"{n} {p}" for p, n in target["layers"]["by_precision"].items())
        top1 = seen["scores"].get("top1")
        agreement = seen["agreement"]
        found.append(
            (
                facts["model"]["name"],
                name,
                by,
                f"{seen['sqnr_db']:.1f}",
                "-" if agreement is None else f"{100 * agreement:.2f}",
                "-" if top1 is None else f"{top1:.4f}",
                str(target["check"]["error"]),
                str(target["check"]["warning"]),
            )
        )
    return found


def main() -> int:
    """Run the cases and print the table; 2 when a case cannot be run."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/targets.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", type=Path, help="TOML file")
    parser.add_argument("--target", action="append", help="default: all four that ship")
    parser.add_argument("--out", type=Path, help="keep the runs here")
    options = parser.parse_args()
    targets = tuple(options.target or ("onnxruntime", "tensorrt", "atlas", "nnie"))
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    times = []
    try:
        table = tomllib.loads(options.cases.read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as scratch:
            for number, row in enumerate(table["case"]):
                out = (options.out or Path(scratch)) / f"{number}-{Path(row['model']).stem}"
                progress = Progress(quiet=True)
                run = calibrate(job_of(row, options.cases.parent, out, targets), progress)
                for cells in rows_of(run.facts):
                    print("| " + " | ".join(cells) + " |", flush=True)
                took = ", ".join(f"{stage} {s:.1f}" for stage, s in progress.seconds.items())
                times.append(f"{run.facts['model']['name']}: seconds for all targets: {took}")
    except (QuantError, OSError, KeyError, tomllib.TOMLDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n" + "\n".join(times))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure quality against other tools: one model, the same samples, one table.

Every tool gets an environment of its own, made here with pip in --venvs (kept, and used again), the
same prepared model and the same calibration samples, and writes a Q/DQ model. All models then run in
ONNX Runtime on the same held-out samples: SQNR of the worst output against float, agreement with
float, top-1. "ORT ms" and "OpenVINO ms" (where it is installed) are milliseconds of one inference in
each runtime, the models and the float one in turns, and in brackets how many times as fast as the
float model in the same turns; our own rows bring the export made for the runtime. What cannot be
installed or run is a row with the reason. "seconds" is the tool alone, without imports; "MiB" the peak
of its process.
"""

__all__ = ["main"]

import sys

sys.path.append(sys.path.pop(0))  # see profile.py beside this file

import argparse
import json
import resource
import subprocess
import tempfile
import venv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from others import TOOLS
from subject import FLAGS, add_flags
from turns import timed

from quant.calibration import batches
from quant.common.errors import QuantError
from quant.common.progress import Progress
from quant.compare.comparison import compare
from quant.graph.session import open_session
from quant.job.settings import EFFORTS, Job
from quant.metrics.metric import METRICS
from quant.preprocess.image_to_tensor import Preprocess
from quant.run.calibrate import calibrate
from quant.run.material import open_material
from quant.target.table import every_runtime

COLUMNS = (
    *("tool", "SQNR dB", "agreement %", "top-1", "seconds", "MiB"),
    *("ORT ms", "OpenVINO ms", "versions"),
)
PATIENCE = 3600
"""Seconds that a tool may take."""

Row = dict[str, Any]


def job_of(given: argparse.Namespace, out: Path, effort: str, target: str = "onnxruntime") -> Job:
    """Return our own job."""
    flags = {name: getattr(given, name) for name in FLAGS}
    return Job(
        model=given.model,
        data=given.data,
        labels=given.labels,
        out=out,
        preprocess=Preprocess.from_flags(None, **flags),
        samples=given.samples,
        holdout=given.holdout,
        seed=given.seed,
        layer_samples=0,
        effort=effort,
        targets=(target,),
    )


def python_of(folder: Path, packages: tuple[str, ...]) -> Path:
    """Return the Python of an environment with these packages, made if it is not there."""
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        venv.create(folder, with_pip=True, clear=True)
        run = subprocess.run(
            [str(python), "-m", "pip", "install", "-q", *packages],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise RuntimeError(f"cannot be installed: {last_line(run.stderr)}")
        ready.touch()
    return python


def last_line(text: str) -> str:
    """Return the last line that says something, cut to 120 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "no reason given")[:120]


def other(tool: str, model: Path, samples: Path, out: Path, venvs: Path) -> Row:
    """Quantize with another tool and return its row."""
    packages = TOOLS[tool][1]
    name = "-".join(p.split("[")[0] for p in packages)
    try:
        python = python_of(venvs / name, packages)
        script = Path(__file__).with_name("others.py")
        command = [str(python), str(script), tool, str(model), str(samples), str(out)]
        run = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE, cwd=out.parent
        )
        if run.returncode or not out.exists():
            raise RuntimeError(f"fails: {last_line(run.stderr)}")
        told: Row = json.loads(run.stdout.strip().splitlines()[-1])
    except (RuntimeError, subprocess.SubprocessError, OSError, ValueError) as error:
        return {"tool": tool, "reason": " ".join(str(error).split())[:160]}
    return {"tool": tool, "path": out, **told}


def ours(given: argparse.Namespace, folder: Path) -> list[Row]:
    """Run this project at every effort and return its rows.

    ONNX Runtime's export is what is measured; OpenVINO's only gives its milliseconds.
    """
    rows = []
    for effort in given.effort or EFFORTS:
        row: Row = {"tool": f"quant, {effort}"}
        for target in installed():
            out = folder / (
                effort if target == next(iter(every_runtime())) else f"{effort}-{target}"
            )
            command = [sys.executable, __file__, *sys.argv[1:], "--only-ours", effort]
            command += ["--into", str(out), "--only-target", target]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            if run.returncode:
                raise QuantError(last_line(run.stderr))
            told = json.loads(run.stdout.strip().splitlines()[-1])
            row = {**told, **row, target: out / target / "model.onnx"}
        rows.append({**row, "path": row["onnxruntime"]})
    return rows


def installed() -> list[str]:
    """Return the runtimes at hand, ONNX Runtime first."""
    return [name for name, r in every_runtime().items() if r.version is not None]


def only_ours(given: argparse.Namespace) -> None:
    """Run one effort in this process and print what it took."""
    progress = Progress(quiet=True)
    run = calibrate(job_of(given, given.into, given.only_ours, given.only_target), progress)
    seconds = sum(
        progress.seconds.get(k, 0.0) for k in ("data", "profile", "choose", "improve", "write")
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"seconds": seconds, "peak_mib": peak, "versions": {"quant": run.facts["version"]}}
    print(json.dumps(told))


def speeds(
    rows: list[Row], prepared: Path, feeds: Mapping[str, Any], given: argparse.Namespace
) -> None:
    """Add to every row what one inference takes in each runtime at hand, and float over that."""
    graph = ir.load(prepared).graph
    names = ([str(v.name) for v in graph.inputs], [str(v.name) for v in graph.outputs])
    fixed = any(v.shape is not None and isinstance(v.shape[0], int) for v in graph.inputs)
    one = {name: x if fixed else x[:1] for name, x in feeds.items()}
    for runtime in installed():
        paths = {row["tool"]: row.get(runtime, row["path"]) for row in rows if "path" in row}
        took = timed({"float": prepared, **paths}, names, one, runtime, given.threads, given.rounds)
        for row in rows:
            if row["tool"] in took:
                ratio = took["float"].ms / took[row["tool"]].ms
                row[f"{runtime} ms"] = f"{took[row['tool']].ms:.2f} ({ratio:.2f}x)"
            elif "path" in row:
                row[f"{runtime} ms"] = "refused"


def measured(given: argparse.Namespace, rows: list[Row], prepared: Path) -> None:
    """Add what the held-out samples say to every row that has a model."""
    job = job_of(given, prepared.parent, "fast")
    material = open_material(job, Progress(quiet=True))
    plain = open_session(ir.load(prepared))
    sessions, found = {}, [r for r in rows if "path" in r]
    for row in found:
        try:
            sessions[row["tool"]] = open_session(ir.load(row["path"]))
        except QuantError as error:
            row["reason"] = str(error)[:160]
    stream = batches(material.data, material.measured, material.batch, bad=[], max_bad=0.05)
    held = list(stream)
    results = compare(plain, sessions, held, [METRICS["top1"]])
    for row in found:
        if row["tool"] in results:
            row["found"] = results[row["tool"]]
    speeds(found, prepared, held[0].feeds, given)


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table."""
    if "found" not in row:
        return (row["tool"], row.get("reason", "not run"), *[""] * (len(COLUMNS) - 2))
    found = row["found"]
    top1 = found.scores.get("top1")
    say: Callable[[Any, str], str] = lambda x, form: "-" if x is None else format(x, form)
    return (
        row["tool"],
        say(found.sqnr_db, ".2f"),
        say(None if found.agreement is None else 100 * found.agreement, ".2f"),
        say(top1, ".4f"),
        say(row["seconds"], ".1f"),
        say(row["peak_mib"], ".0f"),
        *(row.get(f"{runtime} ms", "-") for runtime in every_runtime()),
        ", ".join(f"{k} {v}" for k, v in row["versions"].items()),
    )


def run(given: argparse.Namespace, folder: Path) -> None:
    """Quantize with everything, measure, and print the table."""
    rows = ours(given, folder)
    prepared = folder / (given.effort or EFFORTS)[0] / "prepared.onnx"
    material = open_material(job_of(given, folder, "fast"), Progress(quiet=True))
    stream = list(batches(material.data, material.calibrated, material.batch, bad=[], max_bad=0.05))
    held = {k: np.concatenate([b.feeds[k][: b.count] for b in stream]) for k in stream[0].feeds}
    samples = folder / "samples.npz"
    np.savez(samples, **held)
    for number, tool in enumerate(given.tool or TOOLS):
        out = folder / f"tool{number}.onnx"
        rows.append(other(tool, prepared, samples, out, given.venvs))
    measured(given, rows, prepared)
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for row in rows:
        print("| " + " | ".join(cells(row)) + " |")


def main() -> int:
    """Run the benchmark; 2 when our own run fails."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/quality.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--labels")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--holdout", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=30, help="of inferences for the milliseconds")
    parser.add_argument("--threads", type=int, default=1, help="of them; 0 for all cores")
    parser.add_argument("--tool", action="append", choices=list(TOOLS), help="default: all")
    parser.add_argument("--effort", action="append", choices=EFFORTS, help="default: all")
    parser.add_argument("--venvs", type=Path, default=Path(tempfile.gettempdir(), "quant-venvs"))
    parser.add_argument("--only-ours", help=argparse.SUPPRESS)
    parser.add_argument("--only-target", default="onnxruntime", help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    add_flags(parser)
    given = parser.parse_args()
    try:
        if given.only_ours:
            only_ours(given)
        else:
            with tempfile.TemporaryDirectory() as folder:
                run(given, Path(folder))
    except (QuantError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

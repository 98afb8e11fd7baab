"""The commands `quant gate` and `quant verify`, for the command line."""

__all__ = ["gate", "verify"]

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quant.cli.command import Command, option
from quant.cli.options import json_option, quiet_option, threads_option
from quant.cli.preprocess_options import preprocess_of, preprocess_options
from quant.cli.table_values import METRIC, RUNTIME
from quant.cli.values import FILE, TEXT, OneOf, Share
from quant.common.errors import InputError

if TYPE_CHECKING:
    from quant.gate.config_file import Gate
    from quant.gate.limits import Verdict

CONTEST = ("reference", "candidate", "data")
ONLY_MODELS = (*CONTEST, "labels", "samples", "calibrated", "sequential", "metrics")
ONLY_RUN = ("baseline", "update_baseline")


@click.command(
    cls=Command,
    examples=r"""
    quant gate --run quant-out/net --max-drop 1% --undecided pass
    quant gate --run quant-out/net --config gate.toml --junit gate.xml
    quant gate --run quant-out/net --update-baseline baseline.json
    quant gate --run quant-out/net --baseline baseline.json
    quant gate --reference net.onnx --candidate net_int8.onnx --data photos/ \
        --labels photos/labels.csv --size 224x224 --mean 127 --std 128 \
        --max-drop 1% --sequential
    """,
)
@option(
    "--run",
    section="Input",
    type=FILE,
    metavar="FOLDER",
    help="Run to judge: the --out folder of `quant calibrate`.",
)
@option(
    "--reference",
    section="Input",
    type=TEXT,
    metavar="MODEL",
    help="Without a run: ONNX file of the float model, or module:factory.",
)
@option(
    "--candidate",
    section="Input",
    type=FILE,
    metavar="FILE",
    help="Without a run: quantized ONNX file, or OpenVINO's .xml.",
)
@option(
    "--data",
    section="Input",
    type=TEXT,
    metavar="DATA",
    help="Without a run: folder of images, .txt list, .npy or .npz arrays, or module:function.",
)
@option(
    "--labels",
    section="Input",
    type=TEXT,
    metavar="LABELS",
    help="CSV file with the columns file,label; or `folders`: one folder for each class.",
)
@option(
    "--runtime",
    section="Input",
    type=RUNTIME,
    default="onnxruntime",
    metavar="NAME",
    help="Without a run: runtime of the candidate: {names}.",
)
@option(
    "--config",
    section="Limits",
    type=FILE,
    metavar="FILE",
    default_text="gate.toml, or pyproject.toml",
    help="TOML file of limits; docs/gate.md describes it.",
)
@option(
    "--max-drop",
    section="Limits",
    type=Share(),
    metavar="SHARE",
    help="Largest drop of accuracy against float, as 1% or 0.01 for one point.",
)
@option(
    "--min-agreement",
    section="Limits",
    type=Share(),
    metavar="SHARE",
    help="Least share of samples that get the float model's answer, as 98% or 0.98.",
)
@option(
    "--min-sqnr",
    section="Limits",
    type=float,
    metavar="DB",
    help="Least signal-to-quantization-noise ratio of the worst output, in dB.",
)
@option(
    "--confidence",
    section="Limits",
    type=Share(),
    metavar="SHARE",
    default_text="95%",
    help="How certain a pass or a fail must be, as 95% or 0.95.",
)
@option(
    "--undecided",
    section="Limits",
    type=OneOf("fail", "pass"),
    default_text="fail",
    help="What a limit counts as for which there are too few samples.",
)
@option(
    "--baseline",
    section="Limits",
    type=FILE,
    metavar="FILE",
    help="Also compare the run with the numbers of an earlier one, kept in this file.",
)
@option(
    "--update-baseline",
    section="Output",
    type=FILE,
    metavar="FILE",
    help="Keep the numbers of this run in this file, for --baseline.",
)
@option(
    "--junit",
    section="Output",
    type=FILE,
    metavar="FILE",
    help="Write the result as JUnit XML, for a CI server.",
)
@option(
    "--markdown",
    section="Output",
    type=FILE,
    metavar="FILE",
    help="Write the result as Markdown, for a pull request.",
)
@option(
    "--sequential",
    section="Input",
    is_flag=True,
    help="Without a run: stop as soon as the answer is certain.",
)
@option(
    "--metric",
    "metrics",
    section="Limits",
    type=METRIC,
    multiple=True,
    metavar="NAME",
    default_text="top1",
    help="Without a run: how outputs are judged; repeat for several: {names}.",
)
@option(
    "--samples",
    section="Input",
    type=int,
    metavar="N",
    default_text="all",
    help="Without a run: largest number of samples to judge on.",
)
@option(
    "--calibrated",
    section="Input",
    type=int,
    default=0,
    metavar="N",
    help="Leave out the N samples that `quant calibrate --samples N` took.",
)
@option(
    "--seed",
    section="Input",
    type=int,
    default=0,
    metavar="N",
    help="Seed of the random choice and order of samples.",
)
@threads_option
@option(
    "--max-bad",
    section="Input",
    type=Share(),
    default=0.05,
    metavar="SHARE",
    default_text="5%",
    help="Largest share of files that may be unreadable, as 5% or 0.05.",
)
@preprocess_options
@quiet_option
@json_option
def gate(quiet: bool, as_json: bool, **options: Any) -> None:
    """Decide for CI: pass, fail, or too few samples to tell.

    It judges a run of `quant calibrate`, or two models of anybody's on data. Limits come from
    options, from a TOML file, or from a baseline. docs/gate.md has the file of limits, and CI
    workflows to paste.

    Exit code 0 when every limit holds; 1 when one is breached or, unless --undecided pass,
    undecided; 2 when something must be mended first.
    """
    from quant.common.files import finite, write_json, write_text
    from quant.visualize.terminal.verdict import verdict_markdown, verdict_text
    from quant.visualize.terminal.verdict_files import junit_xml, verdict_json

    run: Path | None = options["run"]
    _one_of_both(options)
    verdict = _run(run, options) if run is not None else _models(options, quiet or as_json)
    if verdict is None:  # only the baseline was wanted
        return
    if run is not None:
        write_json(run / "gate.json", verdict_json(verdict))
        if (run / "report.html").exists():
            _on_the_page(run)
    if options["junit"] is not None:
        write_text(options["junit"], junit_xml(verdict))
    if options["markdown"] is not None:
        write_text(options["markdown"], verdict_markdown(verdict))
    if as_json:
        click.echo(json.dumps(finite(verdict_json(verdict)), indent=2))
    else:
        click.echo(verdict_text(verdict))
        _tell_github(verdict)
    if not verdict.passed:
        sys.exit(1)


def _on_the_page(run: Path) -> None:
    """Put the verdict into the run's report."""
    from quant.results.saved_run import load_run
    from quant.visualize.report.html import write_report

    write_report(load_run(run), run / "report.html")


def _one_of_both(options: Mapping[str, Any]) -> None:
    """Refuse what is neither a run nor two models, and flags that the other kind has."""
    run = options["run"] is not None
    given = [n for n in CONTEST if options[n] is not None]
    flags = ", ".join(f"--{n}" for n in CONTEST)
    if not run and len(given) < len(CONTEST):
        missing = next(n for n in CONTEST if n not in given)
        seen = "neither" if not given else f"no --{missing}"
        raise InputError(
            f"quant gate: it needs --run, or {flags}; saw {seen}. Give what is missing."
        )
    wrong = [n for n in (ONLY_MODELS if run else ONLY_RUN) if options[n]]
    if wrong:
        flag = {"metrics": "metric"}.get(wrong[0], wrong[0]).replace("_", "-")
        other = "two models, and a run has its answers already" if run else "a run"
        raise InputError(f"--{flag}: it is for {other}. Remove it, or " + (
            "remove --run." if run else "give --run."
        ))  # fmt: skip


def _gate(options: Mapping[str, Any]) -> "Gate":
    from quant.gate.config_file import check_values
    from quant.gate.run_gate import chosen_gate, limits_of_flags

    changes = {key: options[key] for key in ("confidence", "undecided")}
    check_values({k: v for k, v in changes.items() if v is not None}, "quant gate")
    enough = options["baseline"] is not None or options["update_baseline"] is not None
    return chosen_gate(options["config"], limits_of_flags(options), changes, needed=not enough)


def _run(run: Path, options: Mapping[str, Any]) -> "Verdict | None":
    from quant.gate.run_gate import gate_run, write_baseline

    limits, baseline, update = _gate(options), options["baseline"], options["update_baseline"]
    verdict = None
    if limits.limits or baseline is not None:
        verdict = gate_run(run, limits, baseline)
    if update is not None:
        write_baseline(run, limits, update)
        click.echo(f"{update}: the numbers of {run} are kept", err=True)
    return verdict


def _models(options: dict[str, Any], quiet: bool) -> "Verdict":
    from quant.common.progress import Progress
    from quant.gate.compare_models import gate_models
    from quant.gate.two_models import TwoModels

    limits = _gate(options)
    preprocess = preprocess_of(options)
    names = [*CONTEST, "runtime", "labels", "samples", "calibrated"]
    names += ["seed", "threads", "max_bad", "sequential"]
    chosen = {name: options[name] for name in names}
    chosen["metrics"] = options["metrics"] or ("top1",)
    return gate_models(TwoModels(preprocess=preprocess, **chosen), limits, Progress(quiet=quiet))


def _tell_github(verdict: "Verdict") -> None:
    """Annotate the workflow and fill the job's summary, where GitHub Actions runs this."""
    from quant.visualize.terminal.verdict import verdict_markdown
    from quant.visualize.terminal.verdict_files import github_annotations

    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    click.echo(github_annotations(verdict), nl=False)
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8", newline="\n") as file:  # other steps write too
            file.write(verdict_markdown(verdict))


@click.command(cls=Command, examples="quant verify --run quant-out/net")
@option(
    "--run",
    section="Input",
    type=FILE,
    required=True,
    metavar="FOLDER",
    help="Run to verify: the --out folder of `quant calibrate`.",
)
@option(
    "--data",
    section="Input",
    type=TEXT,
    metavar="DATA",
    default_text="that of the run",
    help="Where the samples of the run are now.",
)
@option(
    "--samples",
    section="Input",
    type=int,
    default=32,
    metavar="N",
    help="Number of samples to compare.",
)
@threads_option
@json_option
def verify(run: Path, data: str | None, samples: int, threads: int, as_json: bool) -> None:
    """Compare the simulation with real runtimes, layer by layer.

    Every runtime that is installed here and that one of the run's targets names computes the
    deployed file, and its integers are compared with the simulation's. The certificate goes into
    run.json, the table into <target>/verify_<runtime>.csv.
    """
    from quant.gate.verify import certificate_text, verify_run

    found = verify_run(run, data=data, samples=samples, threads=threads)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(certificate_text(found))

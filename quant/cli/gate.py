"""The commands `quant gate` and `quant verify`, for the command line."""

__all__ = ["gate", "verify"]

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quant.cli.options import preprocess_of, preprocess_options
from quant.common.errors import InputError

if TYPE_CHECKING:
    from quant.gate.config_file import Gate
    from quant.gate.limits import Verdict

FILE = click.Path(path_type=Path)

CONTEST = ("reference", "candidate", "data")
ONLY_MODELS = (*CONTEST, "labels", "samples", "calibrated", "sequential", "metrics")
ONLY_RUN = ("baseline", "update_baseline")


@click.command()
@click.option("--run", type=FILE, help="Folder of a run, the --out of quant calibrate.")
@click.option("--reference", metavar="M", help="Float ONNX file, or module:factory.")
@click.option("--candidate", type=FILE, help="Quantized ONNX file, or OpenVINO's .xml.")
@click.option("--data", metavar="D", help="Folder, .txt list, .npy/.npz, or module:function.")
@click.option("--labels", metavar="L", help="CSV with file,label; or `folders`: one a class.")
@click.option("--runtime", default="onnxruntime", help="Of the candidate: onnxruntime or openvino.")
@click.option("--config", type=FILE, help="TOML.  [default: gate.toml, or pyproject.toml]")
@click.option("--max-drop", type=float, metavar="X", help="Of accuracy; 0.01 is 1 point.")
@click.option("--min-agreement", type=float, metavar="X", help="0.98 for 98 % of the samples.")
@click.option("--min-sqnr", type=float, metavar="DB", help="At the worst output.")
@click.option("--confidence", type=float, metavar="C", help="Of each verdict.  [default: 0.95]")
@click.option("--undecided", type=click.Choice(["fail", "pass"]), help="[default: fail]")
@click.option("--baseline", type=FILE, help="Hold the run against the numbers kept there.")
@click.option("--update-baseline", type=FILE, help="Keep the numbers of this run there.")
@click.option("--junit", type=FILE, help="Write JUnit XML.")
@click.option("--markdown", type=FILE, help="Write Markdown.")
@click.option("--sequential", is_flag=True, help="Stop as soon as the answer is certain.")
@click.option("--metric", "metrics", multiple=True, help="[default: top1]")
@click.option("--samples", type=int, metavar="N", help="At most.  [default: all]")
@click.option("--calibrated", type=int, default=0, metavar="N", help="Leave out calibrate's N.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of choice and order.")
@click.option("--threads", type=int, default=0, help="In one operator; 0 for all cores.")
@click.option("--max-bad", type=float, default=0.05, show_default=True, help="Broken files.")
@preprocess_options
@click.option("--quiet", is_flag=True, help="No progress, only results.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def gate(quiet: bool, as_json: bool, **options: Any) -> None:
    """Decide whether a quantized model is good enough: pass, fail, or too few samples to tell.

    Exit code 0 when every limit holds, 1 when one is breached or (unless --undecided pass)
    undecided, 2 when something must be mended first. docs/gate.md has the file of limits, and
    workflows to paste.

    \b
    quant gate --run quant-out/net --config gate.toml --junit gate.xml
    quant gate --run quant-out/net --baseline baseline.json
    quant gate --reference net.onnx --candidate net_int8.onnx --data photos/ --labels photos/labels.csv \\
        --size 224x224 --mean 127 --std 128 --max-drop 0.01 --sequential
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


@click.command()
@click.option("--run", type=FILE, required=True, help="Folder of a run.")
@click.option("--data", metavar="D", help="Where the run's data is now.  [default: as it was]")
@click.option("--samples", type=int, default=32, show_default=True, help="How many to run.")
@click.option("--threads", type=int, default=0, help="In one operator; 0 for all cores.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def verify(run: Path, data: str | None, samples: int, threads: int, as_json: bool) -> None:
    """Hold the simulation against every runtime at hand, layer by layer, in integers.

    Writes the certificate into run.json and the table into <target>/verify.csv.

    \b
    quant verify --run quant-out/net
    """
    from quant.gate.verify import certificate_text, verify_run

    found = verify_run(run, data=data, samples=samples, threads=threads)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(certificate_text(found))

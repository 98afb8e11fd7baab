"""Write the report, the figures and other views of a run from its folder alone."""

__all__ = ["FORMATS", "diff_runs", "report_run", "write_overview", "write_verdict"]

from pathlib import Path
from typing import Any

from quant.common.files import write_json, write_text
from quant.gate.limits import Verdict
from quant.graph.prepared_graph import save_model
from quant.results.run_diff import compare_runs, diff_json
from quant.results.saved_run import SavedRun, load_run
from quant.visualize.figures.write_figures import write_figures
from quant.visualize.report.diff_page import diff_html
from quant.visualize.report.html import write_report
from quant.visualize.report.markdown import report_markdown
from quant.visualize.report.overlays import model_explorer, netron
from quant.visualize.terminal.diff import diff_text
from quant.visualize.terminal.verdict_files import verdict_json

FORMATS = ("html", "markdown", "model-explorer", "netron")


def write_overview(folder: Path) -> SavedRun:
    """Write `report.html` and `figures/` into a run's folder, and return the run as read back.

    Raises:
        InputError: The folder holds no run.
    """
    run = load_run(folder)
    write_figures(run)
    write_report(run, folder / "report.html")
    return run


def write_verdict(folder: Path, verdict: Verdict) -> None:
    """Write `gate.json` into a run's folder, and the verdict into its report where there is one."""
    write_json(folder / "gate.json", verdict_json(verdict))
    if (folder / "report.html").exists():
        write_report(load_run(folder), folder / "report.html")


def report_run(folder: Path, form: str, out: Path | None) -> list[Path]:
    """Write one of FORMATS and return the files.

    Args:
        folder: Folder of the run.
        form: "html": page and figures; "markdown": text for a pull request; "model-explorer": node
            data; "netron": the prepared graph with the errors in it. The last two write one file
            per target.
        out: File (html, markdown) or folder (the others); None for the run's folder.

    Raises:
        InputError: The folder holds no run, or `out` cannot be written.
    """
    run = load_run(folder)
    if form == "html":
        path = out or folder / "report.html"
        write_figures(run)
        write_report(run, path)
        return [path]
    if form == "markdown":
        path = out or folder / "report.md"
        write_text(path, report_markdown(run))
        return [path]
    paths = []
    for target in run.targets:
        kind = "json" if form == "model-explorer" else "onnx"
        path = (out or folder) / f"{form}-{target.name}.{kind}"
        if form == "model-explorer":
            write_json(path, model_explorer(target))
        else:
            save_model(netron(run, target), path)
        paths.append(path)
    return paths


def diff_runs(before: Path, after: Path, html: Path | None = None) -> tuple[str, dict[str, Any]]:
    """Compare two runs: return the text and the JSON, and write the page if `html` is a path.

    Raises:
        InputError: A folder holds no run, or the runs share no target or layer.
    """
    diff = compare_runs(load_run(before), load_run(after))
    if html is not None:
        write_text(html, diff_html(diff))
    return diff_text(diff), diff_json(diff)

"""A finished run as text for a terminal: the verdict of each target, and on request every step."""

__all__ = ["details_text", "input_text", "run_text", "score_text", "worst_layers_text"]

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from quant.cost.network_cost import predicted_text
from quant.metrics.metric import METRICS
from quant.results.advice import rating_of
from quant.results.saved_run import SavedRun, SavedTarget
from quant.results.weight_size import size_text, weight_megabytes
from quant.search.summary import search_text
from quant.visualize.label import escaped
from quant.visualize.terminal.worst_layers import worst_layers

WIDTH = 80
LABEL = 11
"""Columns of the names of lines, such as "agreement"."""

Paint = Callable[[str, str], str]
"""Colours a verdict: (text, level of `quant.results.advice.Rating`) to text."""


def run_text(run: SavedRun, timing: Mapping[str, Any], paint: Paint = lambda text, _: text) -> str:
    """Return what a run ends with: a few lines for each target, and where to look next.

    Args:
        run: Read back from its folder.
        timing: The content of `timing.json`.
        paint: Colours the verdicts.
    """
    data = run.facts["data"]
    where = "held-out samples" if data["held_out"] else "of the same samples"
    lines = [
        (
            f"{escaped(run.facts['model']['name'])}: calibrated on {data['samples']} samples, measured "
            f"on {data['measured']} {where}"
        ),
        *_field("input", input_text(run.facts)),
    ]
    for target in run.targets:
        rating = rating_of(target.facts)
        lines += ["", f"{target.name}: {paint(rating.label.upper(), rating.level)}"]
        for label, text in _verdict_lines(run, target, timing):
            lines += _field(label, text)
    lines += ["", f"report: {run.folder / 'report.html'}"]
    return "\n".join(lines)


def _verdict_lines(
    run: SavedRun, target: SavedTarget, timing: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each line about a target."""
    facts = target.facts
    yield from _measured_lines(facts.get("simulated") or {})
    if "search" in facts:
        for text in search_text(facts["search"]):
            yield "search", text
    yield "weights", _weights(target)
    speed = (timing.get("milliseconds_per_sample") or {}).get(target.name)
    if speed:
        times = speed["speedup"]
        yield (
            "speed",
            (
                f"{speed['float_ms']:.3g} ms -> {speed['integer_ms']:.3g} ms a sample on this CPU: "
                f"{times:.2f} times as fast{'' if times > 1 else ', slower here'}"
            ),
        )
    if text := predicted_text(facts):
        yield "predicted", text
    if text := _check(facts):
        yield "check", f"{text}: see {run.folder / target.name / 'check.json'}"
    if facts.get("files"):
        yield "deploy", str(run.folder / target.name / facts["files"][0])


def _measured_lines(measured: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each score, of the agreement with float and of the noise.

    Args:
        measured: A comparison with float, as in `run.json`.
    """
    scores, before = measured.get("scores") or {}, measured.get("float_scores") or {}
    for name, value in scores.items():
        yield name, score_text(name, value, before.get(name))
    noise = f"SQNR {measured['sqnr_db']:.1f} dB" if measured.get("sqnr_db") is not None else ""
    if noise and len(measured.get("outputs") or ()) > 1:
        noise += " at the worst output"
    compared = [METRICS[n].against_float for n in scores if ":" not in n]
    if measured.get("agreement") is not None and not any(compared):
        text = f"{100 * measured['agreement']:.2f} % of the answers are float's"
        yield "agreement", f"{text}; {noise}" if noise else text
    elif noise:
        yield "noise", noise


def score_text(name: str, value: float | None, before: float | None) -> str:
    """Return a score beside the float network's, in the metric's own unit.

    Shares are percentages with the difference in points; a metric that compares with float has no
    float score of its own, and digits down to its distance from 1.
    """
    if value is None:
        return "could not be measured"
    metric = METRICS[name] if ":" not in name else None
    if metric is not None and metric.against_float:
        ideal = "1" if metric.better == "higher" else "0"
        return f"{_digits(value)} ({metric.unit}; {ideal} is float itself)"
    if metric is not None and metric.unit == "share":
        text = f"{100 * value:.2f} %"
        return text if before is None else (
            f"{text}, float {100 * before:.2f} % ({_signed(100 * (value - before), 2)} points)"
        )  # fmt: skip
    text = f"{value:.4g}"
    return text if before is None else (
        f"{text}, float {before:.4g} ({_signed(value - before, 4)})"
    )  # fmt: skip


def _digits(value: float) -> str:
    """Return five digits, or the distance from 1 where five do not show it."""
    if 0 < 1 - value < 5e-6:
        return f"1 - {1 - value:.1e}"
    return f"{value:.5f}"


def _signed(value: float, digits: int) -> str:
    """Return a number with its sign; zero has none that means anything, so it gets a plus."""
    text = f"{value:+.{digits}f}"
    return text.replace("-", "+") if not any(c in "123456789" for c in text) else text


def input_text(facts: Mapping[str, Any]) -> str:
    """Return how a sample becomes the input, so that a wrong default is seen."""
    how, source = facts["preprocess"], escaped(str(facts["data"]["source"]))
    mean, std = ([f"{v:g}" for v in how[key]] for key in ("mean", "std"))
    untouched = how["size"] is None and {*mean} == {"0"} and {*std} == {"1"}
    if untouched and ": " in source:
        return f"{source}, as they are"
    if untouched and (":" in source or source.endswith((".npy", ".npz"))):
        return f"the arrays of {source}, as they are"
    size = "each image's own size"
    if how["size"]:
        size = f"{how['size'][0]}x{how['size'][1]} by {how['resize']}"
        if how["resize"] == "shorter":
            size += f" ({how['short_side']} pixels, crop {how['crop']})"
    return f"{size}, {how['channels']}, mean {','.join(mean)}, std {','.join(std)}"


def worst_layers_text(run: SavedRun, *, every: bool) -> str:
    """Return the worst layers of the targets whose verdict is not good; of every target on request.

    Args:
        run: Read back from its folder.
        every: Whether to list those of good targets too.
    """
    texts = []
    for target in run.targets:
        if not every and rating_of(target.facts).level == "good":
            continue
        causes = {name: found[0].words for name, found in target.causes.items() if found}
        texts.append(f"{target.name}: {worst_layers(target.rows, causes)}")
    return "\n\n".join(texts)


def details_text(run: SavedRun, timing: Mapping[str, Any]) -> str:
    """Return what each step of a run did: preparation, samples, observers, effort, runs, times."""
    model = run.facts["model"]
    notes = ", ".join(model["notes"]) or "nothing to fold"
    lines = _field("prepared", f"{notes}; outputs within {model['parity']:.1e} of the model's")
    lines += _field("samples", _settled(run.facts.get("sufficiency")))
    if rows := run.facts["data"]["unreadable"]:
        names = ", ".join(f"'{row['sample']}' ({row['reason']})" for row in rows[:3])
        more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
        lines += _field("skipped", f"files that cannot be read: {escaped(names)}{more}")
    for target in run.targets:
        lines += ["", target.name]
        for label, text in _detail_lines(target):
            lines += _field(label, text)
    spent = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in timing["seconds"].items())
    return "\n".join([*lines, "", *_field("time", spent)])


def _detail_lines(target: SavedTarget) -> Iterator[tuple[str, str]]:
    facts = target.facts
    if facts["observers_db"]:
        tried = ", ".join(f"{name} {db:.1f} dB" for name, db in facts["observers_db"].items())
        yield "observers", f"{tried} on calibration samples"
    if steps := facts["effort"]:
        yield "effort", _effort(steps)
    for label, key in (("simulation", "simulated"), ("integers", "integer")):
        if facts.get(key):
            yield label, "; ".join(f"{name} {text}" for name, text in _measured_lines(facts[key]))
    kernels = (facts.get("integer_kernels") or {}).get("by_op") or {}
    if kernels:
        counts = ", ".join(f"{fast} of {every} {op}" for op, (fast, every) in kernels.items())
        yield "kernels", f"{counts} run in integers"
    if parity := facts.get("parity"):
        largest = max(o["largest"] for o in parity["outputs"])
        yield (
            "parity",
            (
                f"the integer run is {parity['sqnr_db']:.1f} dB from the simulation, largest difference "
                f"{largest:.3g}"
            ),
        )


def _effort(steps: Sequence[Mapping[str, Any]]) -> str:
    """Return what each step bought on the calibration samples kept back."""
    best, said = steps[0]["aside_db"], []
    for step in steps[1:]:
        dropped = "" if step["kept"] else " (dropped)"
        if not step.get("judged", True):
            said.append(f"{step['step']}{dropped}")
            continue
        said.append(f"{step['step']} {_signed(step['aside_db'] - best, 1)} dB{dropped}")
        best = step["aside_db"] if step["kept"] else best
    start = f"{steps[0]['aside_db']:.1f} dB on calibration samples kept back"
    return f"{start}; {', '.join(said)}" if said else start


def _settled(enough: Mapping[str, Any] | None) -> str:
    """Return whether the ranges have settled; "" where that was not looked at."""
    if not enough or enough["settled"] is None:
        return ""  # a warning says it
    return (
        f"enough: {enough['settled']} of the {enough['samples']} give almost the same ranges, no "
        f"tensor has over {enough['steps'][-1]['noise_db']:.1f} dB more noise"
    )


def _weights(target: SavedTarget) -> str:
    """Return the size of the weights before and after, and the precisions of their layers."""
    before, after = weight_megabytes(target.graph, target.plan)
    layers = target.facts["layers"]
    counts = [f"{n} in {precision}" for precision, n in layers["by_precision"].items()]
    if len(counts) == 1:
        where = f"all {counts[0]}"
    else:
        where = f"{', '.join(counts)} of {layers['weighted']}" if counts else "none"
    return f"{size_text(before)} -> {size_text(after)}; layers with weights: {where}"


def _check(facts: Mapping[str, Any]) -> str:
    counts = [f"{n} {kind}{'s' * (n != 1)}" for kind, n in facts["check"].items() if n]
    return ", ".join(counts)


def _field(label: str, text: str) -> list[str]:
    """Return a named line, wrapped behind its name; [] without text."""
    if not text:
        return []
    gap = " " * (LABEL + 2)
    wrapped = textwrap.wrap(
        text, WIDTH, initial_indent=gap, subsequent_indent=gap, break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip
    space = "" if len(label) < LABEL else " "
    return [f"  {label:{LABEL}}{space}{wrapped[0][len(gap) :]}", *wrapped[1:]]

"""The verdict of a gate as text: for a terminal, and for a job's summary in Markdown."""

__all__ = ["phrase", "verdict_markdown", "verdict_text"]

import html
import math

from quant.gate.limits import Decision, Limit, LimitResult, Verdict
from quant.gate.measures import shown
from quant.visualize.label import cells, escaped

HEAD = ("verdict", "target", "limit", "saw", "between", "samples")
GAP = "  "
PARTS = 5
"""Classes, outputs or layers of one limit that are named; the machine-readable files have all."""


def phrase(result: LimitResult) -> str:
    """Return what a limit came to in one line: number, interval, and what would decide it."""
    limit, judged = result.limit, result.judged
    said = f"saw {shown(judged.value, limit.about.unit)}"
    if _sampled(judged):
        said += f", between {_between(limit, judged)}, on {judged.samples} samples"
    if judged.because:
        said += f" ({judged.because})"
    said = f"{judged.part}: {said}" if judged.part else said
    if judged.needed is not None:
        said += f"; undecided: about {judged.needed} more samples would decide"
    return escaped(said)


def _sampled(judged: Decision) -> bool:
    return judged.samples > 0 and not math.isnan(judged.low)


def _between(limit: Limit, judged: Decision) -> str:
    """Return the interval with one unit."""
    unit = limit.about.unit
    low, high = (shown(x, unit) for x in (judged.low, judged.high))
    return f"{low.split(' ')[0]} and {high}"


def _details(result: LimitResult) -> list[str]:
    """Return the lines that explain what is not a pass: the worst parts, and the layers to blame."""
    rest = [p for p in result.parts if p.outcome != "pass" and p is not result.judged]
    rest.sort(key=lambda p: (p.outcome != "fail", p.part))
    lines = [phrase(result)] if result.outcome != "pass" else []
    for part in rest[: PARTS - 1]:
        value = shown(part.value, result.limit.about.unit)
        lines.append(escaped(f"{part.part}: {part.outcome}, saw {value}"))
    if len(rest) > PARTS - 1:
        lines.append(f"and {len(rest) - PARTS + 1} more")
    lines += [escaped(f"layer '{name}': {why}") for name, why in result.layers]
    return lines


def _row(result: LimitResult) -> list[str]:
    judged, limit = result.judged, result.limit
    sampled = _sampled(judged)
    word = result.outcome if result.breached or result.outcome == "pass" else f"({result.outcome})"
    return [
        word,
        escaped(result.target),
        escaped(str(limit)),
        shown(judged.value, limit.about.unit),
        _between(limit, judged) if sampled else "",
        str(judged.samples) if sampled else "",
    ]


def _headline(verdict: Verdict) -> str:
    count, total = len(verdict.breaches), len(verdict.results)
    name = escaped(verdict.subject)
    if verdict.passed:
        open_ = sum(r.outcome == "undecided" for r in verdict.results)
        rest = f", {open_} undecided" if open_ else ""
        return f"gate passed: {name} keeps its {total} limit{'s' if total != 1 else ''}{rest}"
    word = "failed" if verdict.outcome == "fail" else "undecided, which counts as failed"
    return f"gate {word}: {name} breaches {count} of {total} limits"


def verdict_text(verdict: Verdict) -> str:
    """Return a table with a line for each limit, and below it what explains the breaches."""
    rows = [list(HEAD), *(_row(r) for r in verdict.results)]
    widths = [max(cells(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = [_headline(verdict), ""]
    for row in rows:
        padded = [text + " " * (w - cells(text)) for text, w in zip(row, widths, strict=True)]
        lines.append(GAP.join(padded).rstrip())
    for result in verdict.results:
        if details := _details(result):
            lines += ["", f"{escaped(result.target)}: {escaped(str(result.limit))}"]
            lines += [f"  {line}" for line in details]
    lines += ["", *(escaped(note) for note in verdict.notes)] if verdict.notes else []
    return "\n".join(lines)


def verdict_markdown(verdict: Verdict) -> str:
    """Return the same for a job's summary; strangers' names cannot break out of their cells."""
    mark = {"pass": "✅", "fail": "❌", "undecided": "❔"}
    lines = [f"### {_plain(_headline(verdict))}", ""]
    lines += [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    for result in verdict.results:
        cells_ = [_plain(cell) for cell in _row(result)]
        cells_[0] = f"{mark[result.outcome]} {cells_[0]}"
        lines.append(f"| {' | '.join(cells_)} |")
    for result in verdict.results:
        if details := _details(result):
            lines += ["", f"**{_plain(result.target)}: {_plain(str(result.limit))}**", ""]
            lines += [f"- {_plain(line)}" for line in details]
    lines += ["", *(f"{_plain(note)}  " for note in verdict.notes)] if verdict.notes else []
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Return text in which Markdown and HTML see no marks of theirs."""
    safe = html.escape(escaped(text), quote=False)
    return "".join(f"\\{c}" if c in "\\|`*_[]~#!" else c for c in safe)

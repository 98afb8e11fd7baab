"""The verdict of a gate as text: a table for the terminal, and Markdown for a job's summary."""

__all__ = ["phrase", "verdict_markdown", "verdict_text"]

import html
import math

from quant.gate.limits import Decision, Limit, LimitResult, Verdict
from quant.gate.measures import with_unit
from quant.visualize.label import cells, escaped

HEAD = ("verdict", "target", "limit", "measured", "interval", "samples")
GAP = "  "
PARTS = 5
"""Classes, outputs or layers of one limit that are listed; the machine-readable files have all."""


def phrase(result: LimitResult) -> str:
    """Return the result of a limit in one line: value, interval, and what would decide it."""
    limit, decision = result.limit, result.decision
    if math.isnan(decision.value):
        text = decision.because or "not measured"
    else:
        text = f"measured {with_unit(decision.value, limit.kind.unit)}"
        if _sampled(decision):
            text += f", interval {_interval(limit, decision)}, on {decision.samples} samples"
        if decision.because:
            text += f" ({decision.because})"
    text = f"{decision.part}: {text}" if decision.part else text
    if decision.needed is not None:
        text += f"; undecided: about {decision.needed} more samples would decide it"
    return escaped(text)


def _sampled(decision: Decision) -> bool:
    return decision.samples > 0 and not math.isnan(decision.low)


def _interval(limit: Limit, decision: Decision) -> str:
    """Return both bounds, with their unit once."""
    unit = limit.kind.unit
    low, high = (with_unit(x, unit) for x in (decision.low, decision.high))
    return f"{low.split(' ')[0]} to {high}"


def _details(result: LimitResult) -> list[str]:
    """Return the lines that explain a limit that did not pass: its worst parts and the layers."""
    others = [p for p in result.parts if p.outcome != "pass" and p is not result.decision]
    others.sort(key=lambda p: (p.outcome != "fail", p.part))
    lines = [phrase(result)] if result.outcome != "pass" else []
    for part in others[: PARTS - 1]:
        value = with_unit(part.value, result.limit.kind.unit)
        lines.append(escaped(f"{part.part}: {part.outcome}, measured {value}"))
    if len(others) > PARTS - 1:
        lines.append(f"and {len(others) - PARTS + 1} more")
    lines += [escaped(f"layer '{name}': {why}") for name, why in result.layers]
    return lines


def _row(result: LimitResult) -> list[str]:
    decision, limit = result.decision, result.limit
    sampled = _sampled(decision)
    word = result.outcome if result.breached or result.outcome == "pass" else f"({result.outcome})"
    return [
        word,
        escaped(result.target),
        escaped(str(limit)),
        with_unit(decision.value, limit.kind.unit),
        _interval(limit, decision) if sampled else "",
        str(decision.samples) if sampled else "",
    ]


def _headline(verdict: Verdict) -> str:
    """Return the verdict in one line, with breached and undecided limits counted apart."""
    name, total = escaped(verdict.subject), len(verdict.results)
    limits = f"{total} limit{'s' * (total != 1)}"
    failed = sum(r.outcome == "fail" for r in verdict.results)
    blocking = sum(r.outcome == "undecided" for r in verdict.breaches)
    accepted = sum(r.outcome == "undecided" for r in verdict.results) - blocking
    tail = f", {accepted} undecided and accepted" if accepted else ""
    if not total:
        return f"gate failed: no limit was judged for {name}"
    if verdict.passed:
        kept = f"{total - accepted} of {limits}" if accepted else f"all {limits}"
        return f"gate passed: {name} keeps {kept if total > 1 else 'its limit'}{tail}"
    if verdict.outcome == "fail":
        count = f"{failed} of {limits}" if total > 1 else "its limit"
        also = f", {blocking} undecided (counts as failed; --undecided pass)" if blocking else ""
        return f"gate failed: {name} breaches {count}{also}{tail}"
    count = f"{blocking} of {limits}" if total > 1 else "its limit"
    return f"gate undecided, which counts as failed: {name} leaves {count} undecided{tail}"


def verdict_text(verdict: Verdict) -> str:
    """Return a table with one line per limit, and below it what explains the breaches."""
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
    """Return the same as Markdown; names from models cannot break out of their cells."""
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
    """Return the text with every character escaped that Markdown or HTML would interpret."""
    safe = html.escape(escaped(text), quote=False)
    return "".join(f"\\{c}" if c in "\\|`*_[]~#!" else c for c in safe)

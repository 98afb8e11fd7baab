"""The verdict of a gate for other programs: JSON, JUnit XML and annotations of GitHub Actions."""

__all__ = ["github_annotations", "junit_xml", "verdict_json"]

from typing import Any
from xml.etree import ElementTree

from quant.gate.limits import Decision, LimitResult, Verdict
from quant.visualize.label import escaped
from quant.visualize.terminal.verdict import phrase

SCHEMA = 1


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return the content of `gate.json`: all limits, their parts and their numbers."""
    return {
        "schema": SCHEMA,
        "subject": verdict.subject,
        "passed": verdict.passed,
        "outcome": verdict.outcome,
        "results": [_result(r) for r in verdict.results],
        "notes": list(verdict.notes),
    }


def _result(result: LimitResult) -> dict[str, Any]:
    limit = result.limit
    return {
        "target": result.target,
        "limit": str(limit),
        "measure": limit.measure,
        "unit": limit.kind.unit,
        limit.kind.bounded: limit.bound,
        "metric": limit.metric,
        "by": limit.by,
        "slice": limit.part,
        "confidence": limit.confidence,
        "place": limit.place,
        "said": phrase(result),
        "outcome": result.outcome,
        "breached": result.breached,
        **_judged(result.decision),
        "parts": [{"outcome": p.outcome, **_judged(p)} for p in result.parts if p.part],
        "layers": [{"layer": name, "because": why} for name, why in result.layers],
    }


def _judged(decision: Decision) -> dict[str, Any]:
    names = ("part", "value", "low", "high", "samples", "needed", "because")
    return {name: getattr(decision, name) for name in names}


def junit_xml(verdict: Verdict) -> str:
    """Return JUnit XML for Jenkins, GitLab and GitHub's readers, one test case per limit.

    A breached limit is a failure; an undecided one that does not fail the gate is skipped.
    """
    breached = sum(r.breached for r in verdict.results)
    skipped = sum(r.outcome == "undecided" and not r.breached for r in verdict.results)
    counts = {"tests": str(len(verdict.results)), "failures": str(breached), "errors": "0"}
    root = ElementTree.Element("testsuites", {"name": "quant gate", **counts})
    name = f"quant gate of {escaped(verdict.subject)}"
    attributes = {"name": name, **counts, "skipped": str(skipped), "time": "0"}
    suite = ElementTree.SubElement(root, "testsuite", attributes)
    for result in verdict.results:
        _case(suite, result)
    if verdict.notes:
        notes = "\n".join(escaped(note) for note in verdict.notes)
        ElementTree.SubElement(suite, "system-out").text = notes
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _case(suite: ElementTree.Element, result: LimitResult) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        {
            "classname": f"quant.gate.{escaped(result.target)}",
            "name": escaped(str(result.limit)),
            "time": "0",
        },
    )
    text = phrase(result)
    if not result.breached:
        if result.outcome == "undecided":
            ElementTree.SubElement(case, "skipped", {"message": text})
        ElementTree.SubElement(case, "system-out").text = text
        return
    lines = [text, *(escaped(f"layer '{name}': {why}") for name, why in result.layers)]
    failure = ElementTree.SubElement(case, "failure", {"message": text, "type": result.outcome})
    failure.text = "\n".join(lines)


def github_annotations(verdict: Verdict) -> str:
    """Return workflow commands: an error for each breach, a warning for each other undecided limit.

    Escaped as in GitHub's toolkit (actions/toolkit, packages/core/src/command.ts).
    """
    lines = []
    for result in verdict.results:
        if result.outcome == "pass":
            continue
        kind = "error" if result.breached else "warning"
        title = _property(escaped(f"quant gate: {result.target}: {result.limit}"))
        layers = [escaped(f"layer '{name}': {why}") for name, why in result.layers]
        lines.append(f"::{kind} title={title}::{_data('; '.join([phrase(result), *layers]))}")
    return "".join(f"{line}\n" for line in lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

"""Findings as text for a person and as JSON for a program."""

import pytest

from quant.target.finding import Finding, Rules, errors, findings_json, findings_text

GRIM = Finding(
    rule="chip-2",
    severity="error",
    place="node 'a\nb'",
    saw="a zero point of 3",
    wanted="0",
    mend="Choose symmetric formats.",
    layer="a\nb",
)
SLOW = Finding(
    rule="chip-9", severity="warning", place="x.onnx", saw="4 channels", wanted="16", mend="Pad."
)


def test_a_finding_is_one_sentence_and_its_mend() -> None:
    assert str(SLOW) == "chip-9 warning, x.onnx: saw 4 channels, wanted 16. Pad."


def test_errors_come_first_and_are_counted() -> None:
    """A list of forty lines must end in what to look for."""
    assert findings_text([SLOW, GRIM, SLOW]).splitlines()[-1] == "1 error, 2 warnings"
    assert findings_text([SLOW, GRIM]).startswith("chip-2 error")
    assert findings_text([]) == "nothing found"
    assert errors([SLOW, GRIM]) == [GRIM]


def test_a_hostile_name_stays_on_its_line() -> None:
    """A node name with a line break would forge a finding of its own."""
    assert str(GRIM) == (
        "chip-2 error, node 'a\\nb': saw a zero point of 3, wanted 0. Choose symmetric formats."
    )


def test_json_holds_every_field() -> None:
    told = findings_json("chip", [SLOW, GRIM])

    assert (told["target"], told["errors"], told["warnings"]) == ("chip", 1, 1)
    assert told["findings"][0]["rule"] == "chip-2"
    assert told["findings"][0]["layer"] == "a\nb"


def test_a_rule_makes_its_findings_and_refuses_a_number_that_nobody_listed() -> None:
    """The rule is looked up by its users in `quant list rules`, so it must stand there."""
    rules = Rules[tuple[str, ...]]("toy", {"toy-1": "names are short"}, lambda n: (n[0], n[1]))
    made = rules.finding(1, "error", ("node 'a'", "a"), saw="9", wanted="3", mend="Rename it.")

    assert made == Finding(
        rule="toy-1",
        severity="error",
        place="node 'a'",
        saw="9",
        wanted="3",
        mend="Rename it.",
        layer="a",
    )
    assert rules.finding(1, "info", "a file", saw="9", wanted="3", mend="").layer is None
    with pytest.raises(KeyError, match="toy-2"):
        rules.finding(2, "error", "a file", saw="9", wanted="3", mend="")

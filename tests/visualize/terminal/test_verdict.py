"""A verdict's faces: text, Markdown, HTML, JSON, JUnit that validates, GitHub's annotations."""

import json
import math
import re

import pytest
import xmlschema

from quant.common.files import finite
from quant.gate.limits import Decision, Limit, LimitResult, Verdict
from quant.visualize.terminal.verdict import verdict_markdown, verdict_text
from quant.visualize.terminal.verdict_files import github_annotations, junit_xml, verdict_json
from tests.tree import ROOT

SCHEMA = xmlschema.XMLSchema(ROOT / "tests" / "golden" / "junit" / "junit.xsd")
EVIL = "</td><script>|`a`*b*\x1b[31m\n::error::\x00%,&\"'日本"


def limit(measure: str, bound: float, **rest: object) -> Limit:
    return Limit(measure=measure, bound=bound, place="gate.toml:1", **rest)  # type: ignore[arg-type]


def passed() -> LimitResult:
    one = Decision(
        outcome="pass",
        value=0.0035,
        low=-0.001,
        high=0.008,
        samples=2000,
        because="17 lost, 10 won",
    )
    return LimitResult(
        limit=limit("accuracy_drop", 0.01), target="chip", decision=one, parts=(one,)
    )


def failed(name: str = "conv3") -> LimitResult:
    parts = [
        Decision(
            outcome="fail", value=0.1 + i / 100, low=0.06, high=0.2, samples=100, part=f"class {i}"
        )
        for i in range(8)
    ]
    return LimitResult(
        limit=limit("accuracy_drop", 0.05, by="class"),
        target="chip",
        decision=parts[-1],
        parts=tuple(parts),
        layers=((name, "8.0 dB quantized alone"),),
    )


def undecided(**rest: object) -> LimitResult:
    one = Decision(outcome="undecided", value=0.99, low=0.97, high=0.999, samples=300, needed=450)
    return LimitResult(limit=limit("agreement", 0.98, **rest), target="chip", decision=one)


def missing() -> LimitResult:
    one = Decision(
        outcome="fail", value=math.nan, because="not measured. Run quant calibrate again."
    )
    return LimitResult(limit=limit("latency_ms", 5), target="chip", decision=one)


def verdict(*results: LimitResult, subject: str = "net") -> Verdict:
    return Verdict(subject=subject, results=results, notes=("since the baseline: changed nothing",))


EVERY = (passed(), failed(), undecided(), undecided(undecided="pass"), missing())


def test_the_table_says_what_happened_and_why() -> None:
    """The columns are aligned; what is not a pass is explained below."""
    lines = verdict_text(verdict(*EVERY)).splitlines()
    table = [re.split(r" {2,}", line) for line in lines[2:8]]
    starts = {line.index(cell) for line in lines[3:8] for cell in ("accuracy", "agreement", "latency")
              if cell in line}  # fmt: skip

    assert lines[0] == (
        "gate failed: net breaches 2 of 5 limits, 1 undecided (counts as failed; --undecided pass), 1 "
        "undecided and accepted"
    )
    assert len(starts) == 1
    assert table == [
        ["verdict", "target", "limit", "measured", "interval", "samples"],
        [
            "pass",
            "chip",
            "accuracy_drop at most 1 point",
            "0.35 points",
            "-0.1 to 0.8 points",
            "2000",
        ],
        [
            *("fail", "chip", "accuracy_drop at most 5 points, for each class", "17 points"),
            *("6 to 20 points", "100"),
        ],
        ["undecided", "chip", "agreement at least 98 %", "99 %", "97 to 99.9 %", "300"],
        ["(undecided)", "chip", "agreement at least 98 %", "99 %", "97 to 99.9 %", "300"],
        ["fail", "chip", "latency_ms at most 5 ms", "nothing"],
    ]
    assert lines[8:18] == [
        "",
        "chip: accuracy_drop at most 5 points, for each class",
        "  class 7: measured 17 points, interval 6 to 20 points, on 100 samples",
        *(f"  class {i}: fail, measured {10 + i} points" for i in range(4)),
        "  and 3 more",
        "  layer 'conv3': 8.0 dB quantized alone",
        "",
    ]
    assert lines[19] == (
        "  measured 99 %, interval 97 to 99.9 %, on 300 samples; undecided: about 450 more samples "
        "would decide it"
    )
    assert lines[-3:] == [
        "  not measured. Run quant calibrate again.",
        "",
        "since the baseline: changed nothing",
    ]


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ((passed(),), "gate passed: net keeps its limit"),
        (
            (passed(), undecided(undecided="pass")),
            "gate passed: net keeps 1 of 2 limits, 1 undecided and accepted",
        ),
        (
            (undecided(),),
            "gate undecided, which counts as failed: net leaves its limit undecided",
        ),
        ((), "gate failed: no limit was judged for net"),
    ],
)
def test_the_headline_is_the_verdict(results: tuple[LimitResult, ...], said: str) -> None:
    assert verdict_text(verdict(*results)).splitlines()[0] == said


@pytest.mark.parametrize("subject", ["net", EVIL])
def test_junit_validates_and_counts(subject: str) -> None:
    """Against the schema that Jenkins, GitLab and GitHub's readers share, with hostile names too."""
    text = junit_xml(verdict(*EVERY, failed(EVIL), subject=subject))
    SCHEMA.validate(text)
    found = SCHEMA.to_dict(text)
    (suite,) = found["testsuite"]

    assert (found["@tests"], found["@failures"], suite["@skipped"]) == (6, 4, 1)
    assert [c["@name"] for c in suite["testcase"]][:2] == [
        "accuracy_drop at most 1 point",
        "accuracy_drop at most 5 points, for each class",
    ]
    failure = suite["testcase"][1]["failure"][0]
    assert (
        failure["@message"]
        == "class 7: measured 17 points, interval 6 to 20 points, on 100 samples"
    )
    assert failure["$"].endswith("layer 'conv3': 8.0 dB quantized alone")


def test_the_schema_refuses_what_is_not_junit() -> None:
    """A schema that takes everything proves nothing."""
    good = junit_xml(verdict(*EVERY))
    for wrong in (
        good.replace('tests="5"', 'tests="many"'),
        good.replace("testcase", "test"),
        good.replace('name="latency_ms at most 5 ms"', ""),
    ):
        assert not SCHEMA.is_valid(wrong)


def test_json_holds_every_number_and_no_nan() -> None:
    found = finite(verdict_json(verdict(*EVERY)))
    told = json.loads(json.dumps(found, allow_nan=False))
    first, second = told["results"][:2]

    assert (told["passed"], told["outcome"], len(told["results"])) == (False, "fail", 5)
    assert (first["max"], first["value"], first["low"], first["samples"]) == (
        *(0.01, 0.0035),
        *(-0.001, 2000),
    )
    assert [p["part"] for p in second["parts"]] == [f"class {i}" for i in range(8)]
    assert second["layers"] == [{"layer": "conv3", "because": "8.0 dB quantized alone"}]
    assert told["results"][4]["value"] is None


def test_annotations_stay_on_their_line() -> None:
    """A name with a line break or a colon must not forge a command of its own."""
    text = github_annotations(verdict(passed(), failed(EVIL), undecided(undecided="pass")))
    lines = text.splitlines()

    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning"]
    assert lines[0].startswith(
        "::error title=quant gate%3A chip%3A accuracy_drop at most 5 points%2C for each class::class 7"
    )
    assert "%25" in lines[0]


def test_strangers_names_break_out_of_nothing() -> None:
    """Neither out of a table of Markdown nor onto the terminal; the page has its own test."""
    hostile = verdict(passed(), failed(EVIL), subject=EVIL)
    for text in (verdict_text(hostile), verdict_markdown(hostile)):
        assert "\x1b" not in text
        assert "\x00" not in text
    assert "<script>" not in verdict_markdown(hostile)
    rows = [line for line in verdict_markdown(hostile).splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {7}

"""One limit against what was measured: classes, slices, layers, and what is missing."""

import math
from dataclasses import replace

import numpy as np
import pytest

from quant.analysis.layer_error import LayerError
from quant.common.errors import InputError
from quant.compare.sample_table import SampleTable
from quant.gate.config_file import Slice
from quant.gate.evidence import Evidence
from quant.gate.judge import judge
from quant.gate.limits import Decision, Limit, LimitResult, Verdict


def table(n: int = 2000, lost: int = 0, lost_class: int | None = None) -> SampleTable:
    """Return answers of which the first `lost` samples, or those of a class, went wrong."""
    labels = np.arange(n) % 10
    wrong = np.zeros(n, bool)
    chosen = np.flatnonzero(labels == lost_class) if lost_class is not None else np.arange(n)
    wrong[chosen[:lost]] = True
    rng = np.random.default_rng(0)
    return SampleTable(
        keys=tuple(f"{'night' if i % 2 else 'day'}/{i}.png" for i in range(n)),
        digests=("",) * n,
        labels=labels,
        float_class=labels,
        quantized_class=np.where(wrong, (labels + 1) % 10, labels),
        float_scores={"top1": np.ones(n), "loss": rng.uniform(1, 2, n)},
        scores={"top1": 1.0 - wrong, "loss": rng.uniform(1, 2, n)},
        signal={"logits": np.full(n, 100.0)},
        noise={"logits": rng.exponential(0.1, n)},
        better={"top1": "higher", "loss": "lower"},
    )


def row(layer: str, isolated: float, precision: str = "int8") -> LayerError:
    return LayerError(
        layer=layer,
        op="Conv",
        precision=precision,
        isolated_sqnr_db=isolated,
        cumulative_sqnr_db=isolated - 3,
        cosine=1.0,
        weight_sqnr_db=40.0,
        saturation=0.0,
        macs=1,
        because="",
    )


def evidence(**changes: object) -> Evidence:
    seen = Evidence(target="chip", place="run/chip", table=table())
    return replace(seen, **changes)  # type: ignore[arg-type]


def limit(measure: str, bound: float, **rest: object) -> Limit:
    return Limit(measure=measure, bound=bound, place="gate.toml:1", **rest)  # type: ignore[arg-type]


def judged(limit_: Limit, seen: Evidence, **slices: Slice) -> LimitResult:
    return judge(limit_, seen, slices)


def test_a_model_that_loses_one_class_fails_there_though_its_average_is_fine() -> None:
    """1.2 points of 2000 samples are 12 of the 200 samples of one class."""
    seen = evidence(table=table(lost=24, lost_class=3))
    average = judged(limit("accuracy_drop", 0.02), seen)
    classes = judged(limit("accuracy_drop", 0.04, by="class"), seen)

    assert average.outcome == "pass"
    assert average.decision.because == (
        "24 lost, 0 won, McNemar's p 1.2e-07; right: float 100.00 %, quantized 98.80 % (Wilson "
        "interval 98.22 to 99.19 %)"
    )
    assert classes.outcome == "fail"
    assert classes.decision.part == "class 3"
    assert classes.decision.value == pytest.approx(0.12)
    assert [p.part for p in classes.parts if p.outcome != "pass"] == ["class 3"]
    assert len(classes.parts) == 10


def test_a_slice_is_judged_by_itself() -> None:
    """All that went wrong went wrong at night."""
    seen = evidence(table=table(lost=60, lost_class=3))
    night, day = Slice(name="night", match="night/*"), Slice(name="day", match="day/*")
    result = judged(limit("agreement", 0.97, part="night"), seen, night=night)
    other = judged(limit("agreement", 0.97, part="day"), seen, day=day)

    assert (result.outcome, result.decision.samples) == ("fail", 1000)
    assert other.outcome == "pass"


def test_metrics_that_are_not_right_or_wrong_are_judged_in_their_direction() -> None:
    """A loss is better when it is lower."""
    good = table()
    worse = replace(good, scores={**good.scores, "loss": good.float_scores["loss"] + 0.5})

    assert judged(limit("accuracy_drop", 0.1, metric="loss"), evidence()).outcome == "pass"
    found = judged(limit("accuracy_drop", 0.1, metric="loss"), evidence(table=worse))
    assert (found.outcome, found.decision.value) == ("fail", pytest.approx(0.5))
    found = judged(limit("accuracy", 1.4, metric="loss"), evidence())
    assert (found.outcome, found.decision.low < found.decision.value) == ("pass", True)


@pytest.mark.parametrize(
    ("measure", "bound", "value"),
    [("accuracy", 0.98, 1.0), ("agreement", 0.98, 1.0), ("sqnr_db", 25.0, 30.0)],
)
def test_answers_of_samples_are_judged(measure: str, bound: float, value: float) -> None:
    found = judged(limit(measure, bound), evidence())

    assert found.outcome == "pass"
    assert found.decision.value == pytest.approx(value, abs=0.5)


def test_what_is_not_finite_fails() -> None:
    """A comparison with nan is false, and a gate must not take that for a pass."""
    good = table()
    noise = {"logits": np.where(np.arange(2000) == 7, np.nan, 0.1)}
    scores = {**good.scores, "loss": np.full(2000, np.nan)}
    broken = evidence(table=replace(good, noise=noise, scores=scores))
    silent = evidence(
        table=replace(good, signal={"a": np.full(2000, np.nan)}, noise={"a": np.full(2000, np.nan)})
    )

    lost = replace(
        good,
        float_class=np.where(good.labels < 2, -1, 2),
        quantized_class=np.where(good.labels < 2, -1, 2),
    )
    assert judged(limit("agreement", 0.5), evidence(table=lost)).decision.value == 0.8
    first = judged(limit("sqnr_db", -99.0), broken).decision
    assert (first.outcome, first.because) == (
        "fail",
        "1 of 2000 samples gave numbers that are not finite",
    )
    assert judged(limit("accuracy_drop", 0.99, metric="loss"), broken).outcome == "fail"
    assert (
        judged(limit("sqnr_db", -99.0), silent).decision.because
        == "no output has one row per sample"
    )
    assert (
        judged(limit("latency_ms", 9), evidence(numbers={"latency_ms": math.nan})).outcome == "fail"
    )


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        (
            "latency_ms",
            "not measured. It is measured where the runtime of the target is installed.",
        ),
        ("integer_share", "not measured. It is measured for --target onnxruntime only."),
        ("layer_sqnr_db", "not measured. Run quant calibrate again."),
        (
            "baseline_accuracy_drop",
            "not measured. Write the baseline again with --update-baseline.",
        ),
        (
            "baseline_layer_loss_db",
            "not measured. Write the baseline again with --update-baseline.",
        ),
    ],
)
def test_what_is_missing_fails_and_says_what_to_do(measure: str, said: str) -> None:
    found = judged(limit(measure, 0.5), evidence()).decision

    assert (found.outcome, found.because) == ("fail", said)
    assert judged(limit("sqnr_db", 1.0), evidence(table=None)).outcome == "fail"


def test_numbers_of_a_run_are_compared_in_their_direction() -> None:
    seen = evidence(numbers={"size_mb": 3.0, "integer_share": 0.9, "check_errors": 0.0})

    assert judged(limit("size_mb", 3.0), seen).outcome == "pass"
    assert judged(limit("size_mb", 2.9), seen).outcome == "fail"
    assert judged(limit("integer_share", 0.9), seen).outcome == "pass"
    assert judged(limit("integer_share", 0.95), seen).outcome == "fail"
    assert judged(limit("check_errors", 0.0), seen).outcome == "pass"


def test_a_breach_names_the_layers_that_stand_out() -> None:
    """The worst first, with the median of the others beside it."""
    rows = [row(f"conv{i}", 40.0 + i) for i in range(9)] + [
        row("broken", 8.0),
        row("head", 99, "float32"),
    ]
    seen = evidence(table=table(lost=400), layers=tuple(rows))

    assert judged(limit("accuracy_drop", 0.01), seen).layers == (
        ("broken", "8.0 dB quantized alone, the median of 11 layers is 44.0 dB"),
    )
    least = judged(limit("layer_sqnr_db", 30.0), seen)
    assert (least.outcome, least.decision.part) == ("fail", "layer 'broken'")
    assert judged(limit("layer_sqnr_db", 30.0, layer="conv*"), seen).outcome == "pass"
    assert judged(limit("layer_cumulative_db", 5.0), seen).decision.value == 5.0
    lost = judged(limit("layer_sqnr_db", 30.0), evidence(layers=(row("x", math.nan),)))
    assert (lost.outcome, lost.decision.because) == ("fail", "not measured")


def test_an_unfair_comparison_is_undecided() -> None:
    seen = evidence(unfair="the measured samples changed", layer_losses={"a": 1.0})

    for measure in ("baseline_accuracy_drop", "baseline_size_growth", "baseline_layer_loss_db"):
        found = judged(limit(measure, 0.5), seen)
        assert (found.outcome, found.decision.because) == (
            "undecided",
            "the measured samples changed",
        )


@pytest.mark.parametrize(
    ("asked", "change", "said"),
    [
        (
            {"measure": "accuracy_drop", "by": "class"},
            {"labels": np.full(2000, -1)},
            (
                "gate.toml:1: a limit by class needs a label for each sample, saw 2000 of 2000 samples of "
                "run/chip without one. Give --labels."
            ),
        ),
        (
            {"measure": "accuracy_drop"},
            {"scores": {}, "float_scores": {}},
            (
                "gate.toml:1: accuracy_drop needs the metric 'top1' of each sample, and run/chip has "
                "none, because the samples have no labels. Give --labels, and --metric for another one."
            ),
        ),
        (
            {"measure": "accuracy", "metric": "top3"},
            {},
            (
                "gate.toml:1: accuracy needs the metric 'top3' of each sample, and run/chip has 'top1', "
                "'loss'. Give --labels, and --metric for another one."
            ),
        ),
        (
            {"measure": "agreement"},
            {"float_class": np.full(2000, -1)},
            (
                "gate.toml:1: agreement compares classes, and the first output of run/chip is not "
                "[samples, classes]. Limit sqnr_db instead."
            ),
        ),
        (
            {"measure": "agreement", "part": "dusk"},
            {},
            (
                "gate.toml:9: slice 'dusk' matches none of the 2000 samples of run/chip, for example "
                "'day/0.png'. Mend its match or its file."
            ),
        ),
        (
            {"measure": "layer_sqnr_db", "layer": "konv*"},
            {},
            (
                "gate.toml:1: layer 'konv*' matches none of the 1 quantized layers of run/chip, for "
                "example 'conv'. Mend the pattern."
            ),
        ),
    ],
)
def test_a_limit_on_what_is_not_there_costs_one_sentence(
    asked: dict[str, str], change: dict[str, object], said: str
) -> None:
    seen = evidence(table=replace(table(), **change), layers=(row("conv", 9.0),))  # type: ignore[arg-type]
    dusk = Slice(name="dusk", match="dusk/*", place="gate.toml:9")
    with pytest.raises(InputError) as caught:
        judged(limit(bound=0.5, **asked), seen, dusk=dusk)  # type: ignore[arg-type]

    assert str(caught.value) == said


def test_a_verdict_without_results_does_not_pass_and_breaches_are_ranked() -> None:
    """Fail closed; the furthest from its limit stands first."""

    def result(value: float, outcome: str, **rest: object) -> LimitResult:
        one = Decision(outcome=outcome, value=value)  # type: ignore[arg-type]
        return LimitResult(limit=limit("size_mb", 2.0, **rest), target="chip", decision=one)

    near, far = result(2.2, "fail"), result(4.0, "fail")
    missing, open_ = result(math.nan, "fail"), result(2.0, "undecided")
    allowed = result(2.0, "undecided", undecided="pass")

    assert not Verdict(subject="net", results=()).passed
    assert Verdict(subject="net", results=(allowed,)).passed
    assert not Verdict(subject="net", results=(open_,)).passed
    found = Verdict(subject="net", results=(open_, near, allowed, far, missing))
    assert found.breaches == [missing, far, near, open_]
    assert found.outcome == "fail"

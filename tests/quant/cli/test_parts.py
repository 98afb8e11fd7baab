"""`quant list`, and the names that options take."""

import json

import pytest
from click.testing import CliRunner

from quant.cli.main import quant
from quant.cli.parts import KINDS, metric_name, parts, target_name
from quant.common.errors import InputError
from quant.target.table import TARGETS


def listed(*words: str) -> str:
    done = CliRunner().invoke(quant, ["list", *words])
    assert done.exit_code == 0, done.output
    return done.output


def test_without_a_kind_the_kinds_are_listed() -> None:
    """Who types `quant list` learns what to type next."""
    text = listed()

    assert all(f"{kind} " in text for kind in KINDS)
    assert text.endswith("quant list KIND lists one of them.\n")


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_has_a_line_about_it_within_80_columns(kind: str) -> None:
    """As text for people, and as JSON with the same names."""
    text, rows = listed(kind), json.loads(listed(kind, "--json"))

    assert [x for x in text.splitlines() if len(x) > 80] == []
    assert rows == json.loads(json.dumps(parts(kind)))
    assert all(row["name"] in text and len(row["about"]) > 10 for row in rows)


def test_devices_have_their_rates_and_where_they_are_from() -> None:
    """A predicted time rests on these numbers."""
    (t4,) = [row for row in parts("devices") if row["name"] == "t4"]
    text = " ".join(listed("devices").split())

    assert t4["target"] == "tensorrt"
    assert (t4["peak"]["int8"], t4["bandwidth"]) == (130e12, 320e9)
    assert "NVIDIA T4, for tensorrt: int8 130, float16 65, float32 8.1 x 10^12" in text
    assert "Source: NVIDIA, T4 Tensor Core GPU, data sheet" in text


def test_metrics_say_what_they_measure_their_unit_and_whether_they_need_labels() -> None:
    """Unit and direction alone explain nothing."""
    about = {row["name"]: row["about"] for row in parts("metrics")}

    assert "label" in about["top1"]
    assert about["top1"].endswith("(share; higher is better; needs --labels)")
    assert about["cosine"].endswith("higher is better; no labels needed)")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tensorrt", "tensorrt"),
        ("TensorRT", "tensorrt"),
        ("trt", "tensorrt"),
        ("ONNX Runtime", "onnxruntime"),
        ("ort", "onnxruntime"),
        ("OpenVINO", "openvino"),
        ("Ascend", "atlas"),
        ("NNIE", "nnie"),
    ],
)
def test_a_target_is_found_by_what_people_call_it(text: str, name: str) -> None:
    """Nobody should have to look up how we spell it."""
    assert target_name(text) == name


def test_no_two_targets_share_a_name() -> None:
    """Else which one is meant would depend on the order of the table."""
    names = [n for target in TARGETS.values() for n in (target.name, *target.aliases)]

    assert len(set(names)) == len(names)
    with pytest.raises(
        InputError, match=r"No target is named 'tensort'\. Did you mean 'tensorrt'\?"
    ):
        target_name("tensort")


def test_a_metric_of_a_users_own_is_left_alone() -> None:
    """It is imported when the run begins."""
    assert metric_name("mine:Score") == "mine:Score"
    assert metric_name("TOP1") == "top1"


def test_a_choice_is_taken_in_any_capitals_and_a_near_miss_is_named() -> None:
    """`--channels rgb` is what everybody types first."""
    base = ["calibrate", "--model", "no.onnx", "--data", "."]
    rgb = CliRunner().invoke(quant, [*base, "--channels", "rgb", "--resize", "LETTERBOX"])
    near = CliRunner().invoke(quant, [*base, "--interpolation", "bilinaer"])

    assert "no.onnx: A model must be an existing file" in str(rgb.exception)
    assert str(near.exception) == (
        "--interpolation: must be bilinear, bicubic or nearest, saw 'bilinaer'. Did you mean "
        "'bilinear'?"
    )

"""Two runs compared: what became better or worse is counted, named and explained."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from quant.common.errors import InputError
from quant.common.files import write_json
from quant.plan.recipe import Recipe, Rule
from quant.results.run_diff import compare_runs
from quant.results.saved_run import load_run
from quant.run.report import diff_runs
from tests import models
from tests.runs import HOSTILE, hostile, make_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the same network twice: as it is, and with a rule that hurts and one that keeps."""
    worse = Recipe(
        rules=(
            Rule(match="depthwise", weights="per-tensor"),
            Rule(match="project", precision="float"),
        )
    )
    folders = [tmp_path_factory.mktemp(name) for name in ("a", "b")]
    make_run(folders[0], models.depthwise_net())
    make_run(folders[1], models.depthwise_net(), recipe=worse, settings={"recipe": "worse.toml"})
    return folders[0], folders[1]


def test_a_run_beside_itself_has_no_difference(runs: tuple[Path, Path]) -> None:
    """Noise must not look like news."""
    text, found = diff_runs(runs[0], runs[0])

    assert "no layer changed" in text
    assert found["notes"] == ()
    assert {x["change"] for t in found["targets"] for x in t["layers"]} == {"same"}


def test_what_a_rule_did_is_said_with_its_reason(runs: tuple[Path, Path]) -> None:
    """Layer by layer: the measure, the plan, and why the plan is so."""
    diff = compare_runs(load_run(runs[0]), load_run(runs[1]))
    layers = {x.layer: x for x in diff.targets[0].layers}
    depthwise, project = layers["depthwise"], layers["project"]

    assert depthwise.change == "worse"
    assert depthwise.gain == pytest.approx(depthwise.isolated_db[1] - depthwise.isolated_db[0])
    (said,) = [p for p in depthwise.plan if p.startswith("weight: ")]
    assert said == "weight: int8, a scale per output channel; mse -> int8, one scale; mse"
    assert project.precision == ("int8", "float32")
    assert "the recipe keeps it float" in project.plan[0]
    assert diff.notes == ("seed: 0 -> none", "recipe: none -> worse.toml")
    assert diff.targets[0].layers[0].change == "worse"


def test_better_is_the_mirror_of_worse(runs: tuple[Path, Path]) -> None:
    """The order of the two runs is the only thing that tells them apart."""
    there = compare_runs(load_run(runs[0]), load_run(runs[1]))
    back = compare_runs(load_run(runs[1]), load_run(runs[0]))
    mirror = {"better": "worse", "worse": "better", "added": "gone", "gone": "added"}
    changes = {x.layer: x.change for x in there.targets[0].layers}

    for x in back.targets[0].layers:
        assert x.change == mirror.get(changes[x.layer], "same")


def test_layers_that_only_one_run_has_are_named(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """A pruned or renamed layer."""
    saved = load_run(runs[0])
    target = saved.targets[0]
    less = replace(saved, targets=(replace(target, rows=target.rows[1:]),))
    changes = {x.layer: x.change for x in compare_runs(saved, less).targets[0].layers}
    back = {x.layer: x.change for x in compare_runs(less, saved).targets[0].layers}

    assert changes[target.rows[0].layer] == "gone"
    assert back[target.rows[0].layer] == "added"


def test_the_json_is_json_and_the_page_runs_nothing(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    """Machines read the one, people the other; a name is text in both."""
    first = make_run(tmp_path / HOSTILE[3].replace("/", "_"), hostile(models.depthwise_net()))
    page = tmp_path / "diff.html"
    text, found = diff_runs(first, first, page)
    write_json(tmp_path / "diff.json", found)
    back = json.loads((tmp_path / "diff.json").read_text(encoding="utf-8"))
    shown = page.read_text(encoding="utf-8")

    assert back["schema"] == 1
    assert len(back["targets"][0]["layers"]) == len(found["targets"][0]["layers"])
    assert "\u202e" not in text
    assert "script-src &#39;none&#39;" in shown
    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;img src=x" in shown


def test_runs_that_cannot_be_compared_are_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """With what they have instead."""
    other = make_run(tmp_path / "trt", models.depthwise_net(), targets=("tensorrt",))
    saved = load_run(other)
    ort = replace(load_run(runs[0]), targets=load_run(runs[0]).targets[:1])
    with pytest.raises(InputError) as target:
        compare_runs(ort, saved)
    renamed = tuple(
        replace(t, rows=tuple(replace(r, layer=f"x{r.layer}") for r in t.rows))
        for t in saved.targets
    )
    with pytest.raises(InputError) as layer:
        compare_runs(saved, replace(saved, targets=renamed))

    assert str(target.value) == (
        f"{runs[0]} and {other}: two runs are compared by their targets, saw 'onnxruntime' and "
        "'tensorrt'. Run one of them again with the other's --target."
    )
    assert str(layer.value).startswith(
        f"{other} and {other}: two runs are compared by the names of their layers, saw none that "
        "both have, for example 'depthwise', "
    )
    assert str(layer.value).endswith(". Give two runs of one model.")

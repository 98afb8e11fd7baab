"""A search read back: its numbers are those of the files, and a broken file costs one sentence."""

import csv
import json
import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quant.common.errors import InputError
from quant.results.saved_run import load_run
from quant.results.saved_search import SavedSearch, load_search
from tests import models
from tests.runs import make_run
from tests.searches import edited, make_searched


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_searched(tmp_path_factory.mktemp("run"), models.residual_net())


def read(run: Path, target: str = "onnxruntime") -> SavedSearch:
    found = load_search(run / target / "search" / "search.json")
    assert found is not None
    return found


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_groups_and_tensors_make_up_the_error_of_every_point(run: Path, target: str) -> None:
    """The shares on the page are of this sum: nothing may be missing, nothing be counted twice."""
    found = read(run, target)
    for point in found.points:
        own = [g.errors[k] for g, k in zip(found.groups, point.assignment, strict=True)]
        common = [
            t.errors[k] for t in found.between for k in {point.assignment[g] for g in t.groups}
        ]

        assert math.fsum(own + common) == pytest.approx(point.error, rel=1e-9)
    assert bool(found.between) == (target == "onnxruntime")


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_every_point_names_the_recipe_that_makes_it(run: Path, target: str) -> None:
    """What the page tells a person to run is the plan that the page shows."""
    found = read(run, target)
    for point in found.points:
        text = (run / target / found.recipe(point)).read_text(encoding="utf-8")
        rules = {r["match"]: r["precision"] for r in tomllib.loads(text)["rule"]}
        wanted = {
            layer: found.precisions[k]
            for group, k in zip(found.groups, point.assignment, strict=True)
            for layer in group.layers
        }

        assert rules == wanted


def test_the_points_are_those_of_the_table(run: Path) -> None:
    """pareto.csv and the picture are of one search."""
    found = read(run, "tensorrt")
    with (run / "tensorrt" / "search" / "pareto.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert [int(r["point"]) for r in rows] == [p.number for p in found.points]
    for row, point in zip(rows, found.points, strict=True):
        assert float(row["latency_ms"]) == pytest.approx(point.cost, rel=1e-5)
        assert float(row["predicted_sqnr_db"]) == pytest.approx(point.predicted_db, rel=1e-5)
        assert row["measured_sqnr_db"] == (
            "" if point.measured_db is None else f"{point.measured_db:.6g}"
        )
        assert point.sqnr_db == (
            point.predicted_db if point.measured_db is None else point.measured_db
        )
    assert [p.number for p in found.points if p.chosen] == [found.winner.number]  # type: ignore[union-attr]


def test_one_precision_for_all_has_its_name(run: Path) -> None:
    """It is what a mixed plan is compared with."""
    found = read(run)
    names = {found.uniform(p) for p in found.points}

    assert names == {None, "int8"}
    assert found.uniform(found.points[0]) == "int8"


def test_what_breaks_the_budget_is_not_kept(run: Path, tmp_path: Path) -> None:
    """A winner may be accurate enough and still cost more than was allowed."""
    path = tmp_path / "search.json"
    path.write_bytes((run / "onnxruntime" / "search" / "search.json").read_bytes())
    assert load_search(path).kept  # type: ignore[union-attr]
    edited(path, lambda told: told.update(most_cost=told["cost"] * 0.9))
    assert not load_search(path).kept  # type: ignore[union-attr]
    edited(path, lambda told: told.update(most_cost=told["cost"], kept=False))
    assert not load_search(path).kept  # type: ignore[union-attr]


def test_null_is_no_error_where_an_error_was_predicted(run: Path, tmp_path: Path) -> None:
    """JSON has no word for infinity."""
    path = tmp_path / "search.json"
    path.write_bytes((run / "onnxruntime" / "search" / "search.json").read_bytes())
    edited(path, lambda told: told["points"][0].update(predicted_sqnr_db=None))
    edited(path, lambda told: told["groups"][0]["errors"].__setitem__(1, None))
    found = load_search(path)
    assert found is not None

    assert found.points[0].predicted_db == math.inf
    assert found.groups[0].errors[1] == math.inf


def test_a_run_without_a_search_has_none(tmp_path: Path) -> None:
    """Most runs search nothing."""
    folder = make_run(tmp_path, models.gemm_net(), targets=("onnxruntime",))

    assert load_run(folder).targets[0].search is None


def broken(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], None]:
    def apply(told: dict[str, Any]) -> None:
        change(told)

    return apply


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda told: told.update(axis="money"),
            "ValueError: the axis is one of latency, size, ops, saw 'money'",
        ),
        (
            lambda told: told["groups"][0]["errors"].pop(),
            "ValueError: a group has an error and a cost for each of 2 precisions",
        ),
        (
            lambda told: told["points"][0]["assignment"].append(0),
            "ValueError: a point has one of 2 precisions for each of 7 groups",
        ),
        (
            lambda told: told["points"][0]["assignment"].__setitem__(0, 2),
            "ValueError: a point has one of 2 precisions for each of 7 groups",
        ),
        (
            lambda told: told["between"][0]["groups"].append(99),
            "ValueError: a tensor has an error for each of 2 precisions, and known groups",
        ),
        (lambda told: told.pop("points"), "KeyError: 'points'"),
    ],
)
def test_a_broken_search_costs_one_sentence(
    run: Path, tmp_path: Path, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    """It says what is wrong, and what mends it."""
    path = tmp_path / "search.json"
    path.write_bytes((run / "onnxruntime" / "search" / "search.json").read_bytes())
    told = json.loads(path.read_text(encoding="utf-8"))
    said = said.replace("of 7 groups", f"of {len(told['groups'])} groups")
    edited(path, broken(change))
    with pytest.raises(InputError) as error:
        load_search(path)

    assert str(error.value) == (
        f"{path}: not a readable search of this version: {said}. Run quant search again, or "
        "remove the folder it is in."
    )


def test_what_is_no_file_or_no_json_costs_one_sentence(tmp_path: Path) -> None:
    """Whatever lies there."""
    path = tmp_path / "search.json"
    path.mkdir()
    with pytest.raises(InputError) as folder:
        load_search(path)
    assert str(folder.value) == (
        f"{path}: not a readable search of this version: it is a folder, not a file. Run quant "
        "search again, "
        "or remove the folder it is in."
    )
    path.rmdir()
    path.write_text("{")
    with pytest.raises(InputError) as text:
        load_search(path)
    assert str(text.value).startswith(
        f"{path}: not a readable search of this version: JSONDecodeError: "
    )
    assert str(text.value).endswith(". Run quant search again, or remove the folder it is in.")

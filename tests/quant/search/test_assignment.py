"""Assignments: rules for each layer of the groups, as a recipe and as a file that reads back."""

from pathlib import Path

import pytest

from quant.plan.recipe import Recipe, Rule, load_recipe
from quant.search.assignment import recipe_text, with_assignment
from quant.search.groups import Group

HOSTILE = [
    'a"b',
    "c\\d",
    "e[0]*?",
    "line\nbreak",
    "tab\t",
    "ünï",
    "del\x7f",
    "bell\x07",
    "'",
    "# x",
]


def group(*names: str) -> Group:
    return Group(name=names[0], layers=names, macs=1)


def test_a_file_says_the_same_of_any_name(tmp_path: Path) -> None:
    groups = [group(*HOSTILE), group("plain")]
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_text(groups, ["float32", "int8"], "tensorrt", ["a point"]), "utf-8")
    found = load_recipe(path, [])

    for name in HOSTILE:
        assert found.of("tensorrt").wants(name, "Conv", "precision") == "float32", name
        assert found.of("atlas").wants(name, "Conv", "precision") is None
    assert found.of("tensorrt").wants("plain", "Conv", "precision") == "int8"
    assert found.of("tensorrt").wants("e0zz", "Conv", "precision") is None, "no pattern is left"
    assert path.read_text("utf-8").startswith("# a point\n")


def test_rules_stand_before_the_users_and_leave_the_rest_of_his_in_force() -> None:
    mine = Recipe(rules=(Rule(op="Conv", precision="int8", weights="per-tensor"),))
    made = with_assignment(mine, [group("one")], ["float16"], "tensorrt", {"one": "because"})

    assert made.of("tensorrt").wants("one", "Conv", "precision") == "float16"
    assert made.of("tensorrt").wants("one", "Conv", "weights") == "per-tensor"
    assert made.of("tensorrt").reason("one", "Conv") == "because"
    assert made.of("atlas").wants("one", "Conv", "precision") == "int8"
    assert made.of("tensorrt").wants("two", "Conv", "precision") == "int8"


def test_every_group_needs_a_precision() -> None:
    with pytest.raises(ValueError, match="zip"):
        with_assignment(Recipe(), [group("one"), group("two")], ["int8"], "tensorrt")

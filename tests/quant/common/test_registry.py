"""One table for all four extension points: it finds, names and refuses its entries."""

import sys
from importlib.metadata import EntryPoint
from itertools import count
from pathlib import Path

import pytest

from quant.common.errors import InputError
from quant.common.registry import Registry

NUMBER = count()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a package of its own name, with a table TABLE of knives and two modules."""
    name = f"drawer{next(NUMBER)}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text(
        f"from quant.common.registry import Registry\nTABLE = Registry('knife', '{name}')\n"
    )
    for part in ("paring", "bread"):
        (folder / f"{part}.py").write_text(
            f"from {name} import TABLE\n@TABLE.add('{part}')\nclass Knife: ...\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    return name


def table_of(package: str) -> Registry[type]:
    """Return the package's table."""
    table: Registry[type] = __import__(package).TABLE
    return table


def test_it_finds_every_module_of_its_folder_in_alphabetical_order(package: str) -> None:
    """A new part is one file: no list elsewhere is touched."""
    table = table_of(package)

    assert list(table) == ["bread", "paring"]
    assert len(table) == 2
    assert table["bread"].__module__ == f"{package}.bread"


def test_nothing_is_imported_before_it_is_asked(package: str) -> None:
    """`quant --help` must not pay for every exporter."""
    table = table_of(package)
    assert f"{package}.bread" not in sys.modules
    assert "bread" in table
    assert f"{package}.bread" in sys.modules


def test_third_parties_are_found_by_the_entry_point_group(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vendor's target need not live in this repository."""
    table = table_of(package)
    table.add("cleaver")(int)
    point = EntryPoint("any", "math:pi", package)
    loaded = []
    monkeypatch.setattr(EntryPoint, "load", lambda self: loaded.append(self.value))
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: [point] if group == package else []
    )

    assert list(table) == ["bread", "cleaver", "paring"]
    assert loaded == ["math:pi"]


def test_a_third_party_that_does_not_import_is_named(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One broken package would else look like a bug of ours, whatever the command."""
    point = EntryPoint(name="theirs", value="no_such_module_", group=package)
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: [point] if group == package else []
    )
    table: Registry[str] = Registry("thing", package)
    with pytest.raises(InputError) as caught:
        list(table)

    assert str(caught.value) == (
        f"entry point 'theirs' of the group '{package}': 'no_such_module_' must import, and said "
        "'ModuleNotFoundError: No module named 'no_such_module_''. Update its package, or "
        "uninstall it."
    )


def test_a_near_miss_gets_a_suggestion(package: str) -> None:
    """The message carries everything needed to go on."""
    with pytest.raises(InputError) as caught:
        table_of(package)["bred"]

    assert str(caught.value) == (
        "No knife is named 'bred'. Did you mean 'bread'? Known: bread, paring."
    )


def test_an_unknown_name_is_refused_with_the_known_ones(package: str) -> None:
    """A guess that is no guess would only mislead."""
    with pytest.raises(InputError) as caught:
        table_of(package)["xyzzy"]

    assert str(caught.value) == "No knife is named 'xyzzy'. Known: bread, paring."


def test_registering_twice_names_both_sides(package: str) -> None:
    """It is either two authors with one idea, or one module imported under two names."""
    table = table_of(package)
    table.add("cleaver")(int)

    with pytest.raises(InputError) as caught:
        table.add("cleaver")(float)

    assert str(caught.value) == (
        "knife 'cleaver' is registered twice: by builtins.int and by builtins.float. "
        "Rename one of them."
    )
    assert table["cleaver"] is int


def test_registering_the_same_part_again_replaces_it_quietly(package: str) -> None:
    """`importlib.reload` and notebooks define a class anew; that is no clash."""
    table = table_of(package)
    old, new = (type("Knife", (), {"__module__": "cell"}) for _ in range(2))
    table.add("cleaver")(old)
    table.add("cleaver")(new)

    assert table["cleaver"] is new


def test_the_decorator_hands_back_what_it_was_given(package: str) -> None:
    """The registered class stays usable, and type checkers still know it."""

    class Knife: ...

    assert table_of(package).add("cleaver")(Knife) is Knife


def test_a_module_that_fails_to_import_fails_every_time(package: str, tmp_path: Path) -> None:
    """A table that lost half its parts must not answer the second question as if it were whole."""
    (tmp_path / package / "zester.py").write_text("raise RuntimeError('blunt')\n")
    table = table_of(package)

    for _ in range(2):
        with pytest.raises(RuntimeError, match="blunt"):
            list(table)

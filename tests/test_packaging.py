"""What is in the tree is in the wheel, and what is pinned is what is needed."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import quant
from tests.tree import FOLDERS, MODULES, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
PACKAGES = {n: path.parent for n, path in MODULES.items() if path.name == "__init__.py"}


def pins() -> dict[str, Version]:
    """Return constraints.txt; a line that is neither a comment nor an exact pin fails."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)", line)
            assert match, line
            found[match[1]] = Version(match[2])
    return found


def wanted() -> list[Requirement]:
    """Return what boardquant[dev] asks for itself."""
    project = PROJECT["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    return [Requirement(line) for line in lines]


def data_files(folder: Path) -> set[str]:
    """Return what lies in a package's folder and is not code, below it, without its subpackages."""
    below = [other for other in PACKAGES.values() if folder in other.parents]
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and path == path.resolve()
        and path.suffix not in (".py", ".pyc")
        and not any(other in path.parents for other in below)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def test_the_table_of_packages_equals_the_tree() -> None:
    """A package that is not listed imports in the checkout and is missing from the wheel."""
    assert set(SETUPTOOLS["packages"]) == set(PACKAGES)
    assert len(SETUPTOOLS["packages"]) == len(PACKAGES)


def test_every_module_lies_in_a_package() -> None:
    """A folder without __init__.py is left out of the wheel, silently."""
    orphans = [str(path) for path in MODULES.values() if path.parent not in PACKAGES.values()]

    assert orphans == []


def test_root_folders_are_mapped_and_linked() -> None:
    """The mapping is for the build, the links are for type checkers; one without the other lies."""
    parts = FOLDERS[1:]

    assert SETUPTOOLS["package-dir"] == {f"quant.{part}": part for part in parts}
    for part in parts:
        link = ROOT / "quant" / part
        if link.is_symlink():  # a checkout may be without links; build and tests work there too
            assert link.readlink().as_posix() == f"../{part}"


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_data_files_are_shipped_and_nothing_else_is_promised(package: str) -> None:
    """include-package-data is off, so that the table alone decides what `quant demo` will find."""
    folder = PACKAGES[package]
    patterns = SETUPTOOLS["package-data"].get(package, [])
    matches = {p: {f.relative_to(folder).as_posix() for f in folder.glob(p)} for p in patterns}

    assert SETUPTOOLS["include-package-data"] is False
    assert [p for p, files in matches.items() if not files] == []
    assert data_files(folder) - set().union(*matches.values()) == set()


def test_versions_agree() -> None:
    """run.json and the package index must speak of the same version."""
    assert quant.__version__ == PROJECT["project"]["version"]


def test_every_requirement_is_pinned_within_its_bounds() -> None:
    """A fresh set-up next year gives what was tested today."""
    pinned = pins()
    wrong = [
        str(want)
        for want in wanted()
        if (name := canonicalize_name(want.name)) not in pinned
        or not want.specifier.contains(pinned[name])
    ]

    assert wrong == []


def test_pins_are_closed_under_requirement_and_nothing_is_pinned_in_vain() -> None:
    """What a dependency needs is pinned too, and what nobody needs any more is gone."""
    pinned, seen, queue = pins(), set[str](), [(want.name, want.extras) for want in wanted()]
    while queue:
        name, extras = queue.pop()
        name = canonicalize_name(name)
        if name in seen:
            continue
        seen.add(name)
        try:
            needs = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:  # needed on another system only
            continue
        for need in needs:
            worlds = [
                {"extra": extra, "sys_platform": system}
                for extra in ("", *extras)
                for system in ("linux", "darwin", "win32")
            ]
            if not need.marker or any(need.marker.evaluate(world) for world in worlds):
                queue.append((need.name, need.extras))
    cuda = {
        name for name in seen if re.match(r"nvidia-|cuda-|triton", name)
    }  # PyPI's torch on Linux

    assert seen - cuda - set(pinned) == set()
    assert set(pinned) - seen == set()

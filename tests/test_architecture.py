"""Imports run one way through the rooms, without circles; heavy libraries stay where they belong."""

import ast
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.tree import FOLDERS, MODULES, ROOT

ROOMS = (
    "quant/common",
    "quant/formats",
    "quant/graph",
    "quant/preprocess",
    "quant/profile",
    "quant/metrics",
    "quant/compare",
    "quant/load",
    "quant/runtimes",
    "quant/plan",
    "quant/job",
    "quant/target",
    "observers",
    "quant/choose",
    "quant/simulate",
    "quant/deploy",
    "quant/analysis",
    "quant/causes",
    "quant/improve",
    "quant/cost",
    "quant/latency",
    "calibration/sources",
    "calibration/profiling",
    "calibration/selection",
    "calibration",
    "quant/search",
    "quant/gate",
    "quant/results",
    "export/qdq",
    "export/caffe",
    "export",
    "visualize/label.py",
    "visualize/search_sentences.py",
    "visualize",
    "quant/demo",
    "quant/run",
    "quant/api",
    "quant/cli",
)
"""Every room, from the ground up: a file may import its own room and those before it.

A place inside another room, such as `export/qdq`, stands before it and is a room of its own.
"""

LIBRARIES: dict[str, tuple[str, ...]] = {
    "torch": (
        "quant/load/torch_module.py",
        "quant/improve/fit/*",
        "quant/improve/rounding/*",
        "quant/demo/train.py",
        "quant/api/options.py",  # for type checkers alone
    ),
    "torchvision": (),
    "matplotlib": ("visualize/figures/*",),
}
"""Library: the files that may import it."""

MOST_FILES = 25
"""Files in one folder, its face left out: what can be read as one table of contents."""

TARGET_FILES = ("target.py", "write.py", "version.py", "devices.py", "graph", "files", "check")
"""What a target's package may hold: table, writer, version flag and devices; then the graph that is
written, the files beside it, and the checks."""

EVERY_MODULE = pytest.mark.parametrize("name", sorted(MODULES))


def imports(name: str) -> Iterator[tuple[int, str]]:
    """Yield line and module of every import of a module, those inside functions included."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                deeper = f"{base}.{alias.name}"
                yield node.lineno, deeper if deeper in MODULES else base


def path(name: str) -> str:
    """Return a module's file below the repository, with forward slashes."""
    return MODULES[name].relative_to(ROOT).as_posix()


def room(name: str) -> int | None:
    """Return the position of the innermost room that holds a module; None for `quant` itself."""
    here = path(name)
    holding = [r for r in ROOMS if here == r or here.startswith(f"{r}/")]
    return ROOMS.index(max(holding, key=len)) if holding else None


def target_of(name: str) -> str | None:
    """Return the target whose folder holds a module, or None."""
    parts = path(name).split("/")
    known = [p.parent.name for p in (ROOT / "export").glob("*/target.py")]
    return parts[1] if parts[0] == "export" and parts[1] in known else None


def test_every_room_exists_and_every_file_has_one() -> None:
    """The tuple above is the table of contents; what it leaves out would obey no order."""
    assert [r for r in ROOMS if not (ROOT / r).exists()] == []
    assert [path(n) for n in MODULES if room(n) is None] == ["quant/__init__.py"]


@EVERY_MODULE
def test_a_file_imports_only_its_own_room_and_those_before_it(name: str) -> None:
    """A part can be read, tested and replaced without the rooms above it."""
    here = room(name)
    if here is None:
        return
    upward = [
        f"{path(name)}:{line}: {ROOMS[here]} may not import {path(module)}"
        for line, module in imports(name)
        if module in MODULES and (there := room(module)) is not None and there > here
    ]

    assert not upward


@EVERY_MODULE
def test_no_target_imports_another(name: str) -> None:
    """What two targets share lies in `export/qdq` or `export/caffe`, so that one can go alone."""
    here = target_of(name)
    strangers = [
        f"{path(name)}:{line}: {module}"
        for line, module in imports(name)
        if here is not None and module in MODULES and target_of(module) not in (here, None)
    ]

    assert not strangers


def test_every_target_has_one_shape() -> None:
    """Who knows one target finds his way in all: the same names for the same roles."""
    for folder in sorted(p.parent for p in (ROOT / "export").glob("*/target.py")):
        inside = {p.relative_to(folder).as_posix() for p in folder.rglob("*.py")}
        first = {name.split("/")[0] for name in inside} - {"__init__.py"}
        functions = {
            name: {
                n.name
                for n in ast.parse((folder / name).read_text("utf-8")).body
                if isinstance(n, ast.FunctionDef)
            }
            for name in inside
        }

        assert {"target.py", "write.py"} <= first, folder
        assert first <= set(TARGET_FILES), folder
        assert "write" in functions["write.py"], folder
        if "check" in first:
            assert "check/rules.py" in inside, folder
            assert "check_model" in functions["check/model.py"], folder
            assert "check_export" in functions["check/run_rules.py"], folder


def test_a_folder_can_be_read_as_a_table_of_contents() -> None:
    """At most 25 files, and no file that repeats the name of its folder."""
    files = [p for p in MODULES.values() if p.name != "__init__.py"]
    crowded = {d: n for d, n in Counter(p.parent for p in files).items() if n > MOST_FILES}
    doubled = [
        p.relative_to(ROOT).as_posix()
        for p in files
        if p.stem == p.parent.name or p.stem.startswith(f"{p.parent.name}_")
    ]

    assert crowded == {}
    assert doubled == []


def test_tests_lie_under_the_path_of_what_they_test() -> None:
    """Who changes `quant/choose/placement.py` finds its tests without a search."""
    folders = {p.parent.relative_to(ROOT) for p in MODULES.values()}
    strays = [
        p.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for p in (ROOT / "tests" / folder).rglob("test_*.py")
        if p.parent.relative_to(ROOT / "tests") not in folders
    ]

    assert strays == []


@EVERY_MODULE
def test_imports_are_absolute_and_name_a_module_that_exists(name: str) -> None:
    """`import observers` works by accident at the root, and makes a second copy of every module."""
    wrong = [
        f"{path(name)}:{line}: {module or 'relative import'}"
        for line, module in imports(name)
        if module.startswith(".")
        or module.split(".")[0] in FOLDERS[1:]
        or (module.split(".")[0] == "quant" and module not in MODULES)
    ]

    assert not wrong


def test_there_is_no_circle() -> None:
    """Two modules that need each other are one module, or hide a third."""
    needs = {name: {module for _, module in imports(name) if module in MODULES} for name in MODULES}

    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])), pytrace=False)


@EVERY_MODULE
def test_heavy_libraries_stay_in_their_rooms(name: str) -> None:
    """Who calibrates an ONNX file on a build server should not pay for torch or matplotlib."""
    strays = [
        f"{path(name)}:{line}: {module}"
        for line, module in imports(name)
        if (allowed := LIBRARIES.get(module.split(".")[0])) is not None
        and not any(fnmatch(path(name), place) for place in allowed)
    ]

    assert not strays

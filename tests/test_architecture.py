"""Imports run one way, without circles, and the heavy libraries stay in their rooms."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.tree import FOLDERS, MODULES, ROOT

MAY_IMPORT: dict[str, set[str]] = {
    "quant": set(),
    "observers": {"quant"},
    "calibration": {"quant", "observers"},
    "export": {"quant"},
    "visualize": {"quant"},
}
ROOF = {
    "quant/cli/main.py",
    "quant/cli/gate.py",
    "quant/cli/roofline.py",
    "quant/cli/select.py",
    "quant/run/export.py",
    "quant/run/calibrate.py",
    "quant/gate/run_gate.py",
    "quant/cli/list_parts.py",
    "quant/cli/pytest_plugin.py",
    "quant/run/report.py",
    "quant/run/select.py",
    "quant/run/material.py",
    "quant/gate/two_models.py",
    "quant/gate/verify.py",
}
STAIRS = {"quant/choose/activation_grids.py": {"observers"}}
"""Files of quant/ that stand above a sibling folder: choosing reads the observers' table."""

ROOMS: dict[str, tuple[str, ...]] = {
    "torch": (
        "quant/load/open_graph.py",
        "quant/load/torch_module.py",
        "quant/load/torch_export.py",
        "quant/improve*",
        "quant/reconstruct*",
        "quant/demo/train.py",
    ),
    "torchvision": (),
    "matplotlib": ("visualize/*",),
}
"""Library: the files that may import it."""

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


def place(name: str) -> str:
    """Return a module's file below the repository, with forward slashes."""
    return MODULES[name].relative_to(ROOT).as_posix()


def folder(name: str) -> str:
    """Return the root folder that holds a module."""
    return place(name).split("/")[0]


@EVERY_MODULE
def test_imports_run_one_way(name: str) -> None:
    """A part can be read, tested and replaced without the floors above it."""
    here = folder(name)
    allowed = MAY_IMPORT[here] | {here} | STAIRS.get(place(name), set())
    if place(name) in ROOF:
        allowed = set(FOLDERS)
    upward = [
        f"{place(name)}:{line}: {here}/ may not import {module}"
        for line, module in imports(name)
        if module in MODULES and folder(module) not in allowed
    ]

    assert not upward


@EVERY_MODULE
def test_nothing_imports_the_roof_but_the_roof(name: str) -> None:
    """Flow and cli tie everything together, so that whoever imports them imports everything."""
    if place(name) in ROOF or name == "quant.__main__":
        return
    roof = [f"{place(name)}:{n}: {m}" for n, m in imports(name) if m in ("quant.cli", "quant.flow")]

    assert not roof


@EVERY_MODULE
def test_imports_are_absolute_and_name_a_module_that_exists(name: str) -> None:
    """`import observers` works by accident at the root, and makes a second copy of every module."""
    wrong = [
        f"{place(name)}:{line}: {module or 'relative import'}"
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
        f"{place(name)}:{line}: {module}"
        for line, module in imports(name)
        if (rooms := ROOMS.get(module.split(".")[0])) is not None
        and not any(fnmatch(place(name), room) for room in rooms)
    ]

    assert not strays

"""Public is what has no underscore and is in its module's `__all__`: the two are held equal."""

import ast
import importlib

import pytest

from tests.tree import MODULES

PUBLIC = [name for name in sorted(MODULES) if not any(p.startswith("_") for p in name.split("."))]
EVERY_MODULE = pytest.mark.parametrize("name", PUBLIC)


def tree(name: str) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def defined(name: str) -> set[str]:
    """Return the public functions and classes that a module defines at its top."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    names = {node.name for node in tree(name).body if isinstance(node, kinds)}
    return {n for n in names if not n.startswith("_")}


def handed_on(name: str) -> set[str]:
    """Return the names that a package's face imports."""
    if MODULES[name].name != "__init__.py":
        return set()
    nodes = [node for node in tree(name).body if isinstance(node, ast.ImportFrom)]
    own = [n for n in nodes if (n.module or "").split(".")[0] == "quant"]
    return {a.asname or a.name for node in own for a in node.names if not a.name.startswith("_")}


@EVERY_MODULE
def test_every_public_module_says_what_it_is(name: str) -> None:
    """The first line of a module is its caption everywhere, so it is one whole sentence or noun."""
    caption = (ast.get_docstring(tree(name)) or "").split("\n")[0]

    assert caption
    assert len(caption) <= 100


@EVERY_MODULE
def test_every_public_name_is_in_all_and_exists(name: str) -> None:
    """`__all__` is the promise that a new version keeps: no more and no less than what is there."""
    module = importlib.import_module(name)
    public: list[str] | None = getattr(module, "__all__", None)

    if public is None:
        assert MODULES[name].name == "__init__.py"
        assert defined(name) | handed_on(name) == set()
    else:
        assert isinstance(public, list)
        assert len(public) == len(set(public))
        assert [n for n in public if not hasattr(module, n)] == []
        assert [n for n in public if n.startswith("_") and n != "__version__"] == []
        assert defined(name) - set(public) == set()


@EVERY_MODULE
def test_a_public_name_is_at_home_or_on_a_face(name: str) -> None:
    """A name that a module only borrowed is imported from where it lives."""
    if MODULES[name].name == "__init__.py":
        return
    module = importlib.import_module(name)
    borrowed = [
        n
        for n in getattr(module, "__all__", [])
        if getattr(getattr(module, n, None), "__module__", name) in set(MODULES) - {name}
        and isinstance(getattr(module, n), type)
    ]

    assert borrowed == []

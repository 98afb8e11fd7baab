"""`import quant` is light and offers what it promises, whatever room is imported when."""

import inspect
import subprocess
import sys

import pytest

import quant
from tests.tree import ROOT

HEAVY = ("numpy", "onnx", "onnx_ir", "onnxruntime", "torch", "PIL", "tqdm", "click", "matplotlib")
STAGES = (
    *("calibrate", "profile", "merge", "choose", "simulate", "export"),
    *("compare", "search", "check", "gate"),
)


def python(code: str) -> str:
    """Return what a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_quant_imports_nothing_heavy() -> None:
    """A notebook's first cell, and every command, pays for it."""
    code = f"import sys, quant; print([m for m in {HEAVY} if m in sys.modules])"

    assert python(code) == "[]"


def test_the_functions_stay_when_their_rooms_are_imported() -> None:
    """`quant.profile` is the function; what lies in the room of that name imports all the same."""
    code = (
        "from quant.profile.statistics import Profile\n"
        "from quant.search.groups import Group\n"
        "import quant\n"
        f"print(all(callable(getattr(quant, name)) for name in {STAGES}))"
    )

    assert python(code) == "True"


@pytest.mark.parametrize("name", STAGES)
def test_each_stage_documents_each_argument(name: str) -> None:
    function = getattr(quant, name)
    text = inspect.getdoc(function) or ""
    missing = [p for p in inspect.signature(function).parameters if f"{p}:" not in text]

    assert missing == []


def test_the_public_names_are_there_and_listed() -> None:
    assert set(quant.__all__) == set(dir(quant))
    assert set(STAGES) <= set(quant.__all__)
    assert quant.Preprocess.__name__ == "Preprocess"
    assert issubclass(quant.InputError, quant.QuantError)
    with pytest.raises(AttributeError, match="no attribute 'preprocces'"):
        _ = quant.preprocces

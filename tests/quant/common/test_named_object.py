"""`module:name` of the user's own Python, found or refused in one sentence."""

from pathlib import Path

import pytest

from quant.common.errors import InputError
from quant.common.named_object import named_object


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named_mine.py").write_text("class Space:\n    def make(self): return 7\n")
    (tmp_path / "named_crash.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # and taken off again behind the test


def test_a_name_may_have_dots() -> None:
    assert named_object("named_mine:Space.make", "--data").__name__ == "make"


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            "named_gone.sub:f",
            (
                "no module is named 'named_gone', neither installed nor in the current folder. "
                "Mend the name, or change to its folder."
            ),
        ),
        (
            "named_crash:f",
            (
                "importing 'named_crash' failed with 'ZeroDivisionError: division by zero'. "
                "--debug shows where."
            ),
        ),
        ("named_mine:Spece", "'named_mine' has no 'Spece'. Did you mean 'Space'?"),
        (
            "named_mine:Space.zzz",
            "'named_mine.Space' has no 'zzz'. Name a function or class that it has.",
        ),
    ],
)
def test_what_is_not_there_is_one_sentence(spec: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        named_object(spec, "--data")

    assert str(caught.value) == f"--data: {sentence}"

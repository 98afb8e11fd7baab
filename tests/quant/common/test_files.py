"""Files that are written whole or not at all."""

import json
import os
from pathlib import Path

import pytest

from quant.common.errors import InputError
from quant.common.files import KeyedFile, atomic, write_json, write_text


def names(folder: Path) -> list[str]:
    """Return what lies in a folder, hidden files included."""
    return sorted(os.listdir(folder))


def test_atomic_moves_what_was_written_and_leaves_no_scratch(tmp_path: Path) -> None:
    """The folder of a run holds results and nothing else."""
    with atomic(tmp_path / "deep" / "plan.json") as scratch:
        scratch.write_text("1")
        assert names(tmp_path / "deep") == [scratch.parent.name]

    assert names(tmp_path / "deep") == ["plan.json"]
    assert (tmp_path / "deep" / "plan.json").read_text() == "1"


@pytest.mark.parametrize("reason", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_nothing_new(
    tmp_path: Path, reason: type[BaseException]
) -> None:
    """A killed run must not leave half a graph under the name of a whole one."""
    path = tmp_path / "model.onnx"
    path.write_text("old")

    def stop_halfway() -> None:
        with atomic(path) as scratch:
            scratch.write_text("half")
            (scratch.parent / "model.onnx.data").write_text("half")
            raise reason

    with pytest.raises(reason):
        stop_halfway()

    assert names(tmp_path) == ["model.onnx"]
    assert path.read_text() == "old"


def test_companions_move_too_and_the_named_file_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sees model.onnx may rely on its weights being there."""
    moved: list[str] = []
    replace = os.replace
    monkeypatch.setattr(
        "quant.common.files.os.replace", lambda a, b: (moved.append(Path(b).name), replace(a, b))[1]
    )
    with atomic(tmp_path / "model.onnx") as scratch:
        scratch.write_text("graph")
        (scratch.parent / "model.onnx.data").write_text("weights")
        (scratch.parent / "zoo.txt").write_text("")

    assert moved[-1] == "model.onnx"
    assert names(tmp_path) == ["model.onnx", "model.onnx.data", "zoo.txt"]


def test_a_folder_that_cannot_be_made_is_one_sentence_with_a_fix(tmp_path: Path) -> None:
    """The commonest cause is a file where the folder should be, or a disk mounted read-only."""
    (tmp_path / "taken").write_text("")
    path = tmp_path / "taken" / "plan.json"

    with pytest.raises(InputError) as caught:
        write_text(path, "")

    assert str(caught.value) == (
        f"{path}: cannot be written: a part of its path is a file, not a folder. Choose another "
        "--out."
    )


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_the_same_sentence(tmp_path: Path) -> None:
    """Permission is found missing before any work is done there."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(
            InputError, match=r"plan\.json: cannot be written: permission is denied\."
        ):
            write_text(tmp_path / "plan.json", "")
    finally:
        tmp_path.chmod(0o700)


def test_text_is_utf8_with_lf(tmp_path: Path) -> None:
    """The same run gives the same bytes on every system."""
    write_text(tmp_path / "a.txt", "5 °C\nend\n")

    assert (tmp_path / "a.txt").read_bytes() == b"5 \xc2\xb0C\nend\n"


def test_json_twice_is_the_same_bytes_in_the_order_given(tmp_path: Path) -> None:
    """`git diff` of two runs shows what changed and nothing else."""
    value = {"zeta": 1, "alpha": [0.1, 1e-45, 2**53], "ö": None}
    for name in ("a.json", "b.json"):
        write_json(tmp_path / name, value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")

    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert list(json.loads(text)) == ["zeta", "alpha", "ö"]
    assert json.loads(text) == value
    assert text.endswith("}\n")


def test_non_finite_numbers_become_null_however_deep(tmp_path: Path) -> None:
    """`NaN` is no JSON, and other readers than Python's stop there."""
    value = {"a": float("nan"), "b": [float("inf"), (-float("inf"), 1.5)], "c": {"d": float("nan")}}
    write_json(tmp_path / "a.json", value)

    def strict(word: str) -> None:
        raise AssertionError(word)

    read = json.loads((tmp_path / "a.json").read_text(), parse_constant=strict)
    assert read == {"a": None, "b": [None, [None, 1.5]], "c": {"d": None}}


def test_json_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """A value of ours that JSON has no word for is a bug, and no file hides it."""
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})

    assert names(tmp_path) == []


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """`--out .` is an easy slip."""
    with pytest.raises(InputError) as caught:
        write_text(tmp_path, "x")

    assert str(caught.value) == (
        f"{tmp_path}: a file is wanted, and this is a folder. Add a name to --out."
    )


def test_a_keyed_file_is_read_by_its_own_key_alone(tmp_path: Path) -> None:
    """What was measured on other samples, by another version or half written is measured anew."""
    file = KeyedFile(path=tmp_path / "a.json", format="f-1", key="k")
    assert file.read() is None
    file.write({"rows": [1, 2]})

    assert file.read() == {"format": "f-1", "key": "k", "rows": [1, 2]}
    assert KeyedFile(path=file.path, format="f-1", key="other").read() is None
    assert KeyedFile(path=file.path, format="f-2", key="k").read() is None
    for text in ("{", "[]"):
        file.path.write_text(text)
        assert file.read() is None

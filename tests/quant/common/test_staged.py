"""An export stands whole or not at all."""

from pathlib import Path

import pytest

from quant.common.errors import InputError
from quant.common.files import staged


def tree(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_text(encoding="utf-8") for p in files}


def fill(folder: Path, **files: str) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_cfg", ".cfg")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_files_and_folders_replace_their_namesakes_and_others_stay(tmp_path: Path) -> None:
    """A second export with fewer pictures must not leave some of the first."""
    out = tmp_path / "a" / "nnie"
    with staged(out, ["n.cfg"]) as scratch:
        fill(scratch, n_cfg="1", images__1="a", images__2="b", tail="t")
    fill(out, plan="kept")
    with staged(out, ["n.cfg"], stale=["tail"]) as scratch:
        fill(scratch, n_cfg="2", images__1="c")

    assert tree(tmp_path) == {"a/nnie/n.cfg": "2", "a/nnie/images/1": "c", "a/nnie/plan": "kept"}


def test_a_failure_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    fill(tmp_path / "x", n_cfg="1")
    with pytest.raises(TypeError), staged(tmp_path / "x", ["n.cfg"]) as scratch:
        fill(scratch, n_cfg="2", wrong=None)  # type: ignore[arg-type]

    assert tree(tmp_path) == {"x/n.cfg": "1"}
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_killed_between_two_moves_it_has_no_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mapper can start from nothing but the cfg, so it goes first and comes last."""
    import os

    fill(tmp_path / "x", n_cfg="1", net="1", weights="1")
    moved = []
    move = os.replace

    def stops(old: Path, new: Path) -> None:
        moved.append(new.name)
        if new == tmp_path / "x" / "weights":
            raise KeyboardInterrupt
        move(old, new)

    monkeypatch.setattr(os, "replace", stops)
    with pytest.raises(KeyboardInterrupt), staged(tmp_path / "x", ["n.cfg"]) as scratch:
        fill(scratch, n_cfg="2", net="2", weights="2")

    assert moved == ["n.cfg", "net", "weights"]
    assert tree(tmp_path) == {"x/net": "2", "x/weights": "1"}


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, file="1")
    with pytest.raises(InputError) as caught, staged(tmp_path / "file", ["n.cfg"]) as scratch:
        fill(scratch, n_cfg="2")

    assert str(caught.value) == (
        f"{tmp_path / 'file'}: a folder is wanted, and this is a file. Choose another --out."
    )
    with pytest.raises(InputError) as caught, staged(tmp_path / "file" / "x", ["n.cfg"]):
        pass

    assert str(caught.value) == (
        f"{tmp_path / 'file' / 'x'}: cannot be written: a part of its path is a file, "
        "not a folder. Choose another --out."
    )
    assert tree(tmp_path) == {"file": "1"}

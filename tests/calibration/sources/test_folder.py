"""The folder: every image below it, in one order, whatever the files are called."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quant.calibration import InputSpec, open_data
from quant.calibration.sources.folder import image_files
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess

Maker = Callable[..., Path]
Spec = Callable[..., InputSpec]


def test_images_are_found_recursively_and_sorted_by_path(pictures: Maker, spec: Spec) -> None:
    folder = pictures("b/1.png", "a.PNG", "b/.hidden.png", ".git/c.png", "b-c/1.png", "Z.jpeg")
    (folder / "notes.txt").write_text("no image")
    (folder / "dir.png").mkdir()
    data = open_data(str(folder), [spec()], Preprocess())

    assert [data.key(i) for i in range(len(data))] == ["Z.jpeg", "a.PNG", "b-c/1.png", "b/1.png"]
    assert data.name == str(folder)
    feeds = data.read(1)
    assert list(feeds) == ["x"]
    assert feeds["x"].shape == (3, 4, 4)
    assert feeds["x"].dtype == np.float32
    assert set(feeds["x"].ravel().tolist()) == {1.0}
    assert data.label(1) is None


def test_hostile_names_are_only_names(pictures: Maker, spec: Spec) -> None:
    names = ["two\nlines.png", "qu'o\"te.png", "-rf.png", "%s{x}.png", "grün 画像.png"]
    folder = pictures(*names)
    data = open_data(str(folder), [spec()], Preprocess())

    assert [data.key(i) for i in range(5)] == sorted(names)
    assert all(data.read(i)["x"].shape == (3, 4, 4) for i in range(5))


def test_a_name_that_is_not_utf8_still_has_a_key(pictures: Maker) -> None:
    folder = pictures("a.png")
    try:
        os.rename(os.fsencode(folder / "a.png"), os.fsencode(folder) + b"/\xff.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")

    assert list(image_files(folder)) == ["\\xff.png"]


def test_link_loops_end_and_files_go_by_their_own_path(pictures: Maker) -> None:
    folder = pictures("z/1.png")
    (folder / "z" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "a").symlink_to(folder / "z", target_is_directory=True)
    (folder / "link.png").symlink_to(folder / "z" / "1.png")
    (folder / "dead.png").symlink_to(folder / "nowhere.png")

    assert list(image_files(folder)) == ["link.png", "z/1.png"]


def test_a_folder_of_links_is_followed(pictures: Maker, tmp_path: Path) -> None:
    folder = pictures("1.png")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "cats").symlink_to(folder, target_is_directory=True)

    assert list(image_files(tmp_path / "other")) == ["cats/1.png"]


def test_an_empty_folder_says_so(tmp_path: Path, spec: Spec) -> None:
    with pytest.raises(InputError) as caught:
        open_data(str(tmp_path), [spec()], Preprocess())

    assert str(caught.value) == (
        f"--data {tmp_path}: no image lies in this folder or below it. "
        f"Give a folder of files that Pillow reads, such as .jpg or .png."
    )


def test_a_folder_that_cannot_be_listed_is_named(
    pictures: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pictures("1.png")

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError) as caught:
        image_files(folder)
    assert str(caught.value) == (
        f"--data {folder}: '{folder}' cannot be listed: permission is denied. "
        f"Change its permissions, or move it away."
    )


def test_folders_are_classes_only_when_asked(pictures: Maker, spec: Spec) -> None:
    folder = pictures("dog/1.png", "cat/1.png", "cat/deep/2.png")

    assert open_data(str(folder), [spec()], Preprocess()).label(0) is None
    data = open_data(str(folder), [spec()], Preprocess(), "folders")
    assert {data.key(i): data.label(i) for i in range(3)} == {
        "cat/1.png": 0,
        "cat/deep/2.png": 0,
        "dog/1.png": 1,
    }


def example(folder: Path) -> str:
    """Return a folder of three pictures."""
    for i in range(3):
        Image.new("RGB", (8, 8), (i, 40 * i, 7)).save(folder / f"{i}.png")
    return str(folder)

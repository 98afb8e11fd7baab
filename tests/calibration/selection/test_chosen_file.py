"""A choice is read back as it was made, whatever the files are called."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quant.calibration import Data, open_data
from quant.calibration.selection.chosen_file import check_suffix, write_chosen
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess

NAMES = (
    "plain.png",
    "#no comment.png",
    " leading blank.png",
    "two  blanks and 12.png",
    "tab\t7.png",
    'quote".png',
    "ümläut \u202egnp.png",
    "a/b/deep 3.png",
    "-rf.png",
    "\ufeffbom.png",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of pictures; the grey of each is its position among the sorted names."""
    place = tmp_path / "pool"
    for i, name in enumerate(NAMES):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (i, i, i)).save(place / name, "PNG")
    return place


def opened(source: Path | str, spec: Callable, **how: object) -> Data:
    return open_data(str(source), [spec()], Preprocess(), **how)


def greys(data: Data, rows: list[int]) -> list[float]:
    return [float(data.read(i)["x"][0, 0, 0]) for i in rows]


@pytest.mark.parametrize("where", ["chosen.txt", "pool/chosen.txt", "new/deep/chosen.txt"])
def test_a_list_is_read_back_in_its_order(folder: Path, spec: Callable, where: str) -> None:
    """Blanks, digits, comment signs and other alphabets; from any folder."""
    data = opened(folder, spec)
    rows = list(range(len(data)))[::-1]
    out = folder.parent / where
    write_chosen(data, rows, out)
    again = opened(out, spec)

    assert len(again) == len(NAMES)
    assert greys(again, list(range(len(NAMES)))) == greys(data, rows)
    assert [again.label(i) for i in range(len(again))] == [None] * len(NAMES)
    assert not any(line.startswith("/") for line in out.read_text(encoding="utf-8").splitlines())


def test_a_list_of_a_list_keeps_its_labels(folder: Path, spec: Callable) -> None:
    """Names that end in digits, too."""
    source = folder / "all.txt"
    source.write_text("plain.png\t5\ntwo  blanks and 12.png\t0\na/b/deep 3.png\t7\n", "utf-8")
    data = opened(source, spec)
    write_chosen(data, [2, 1], folder.parent / "few.txt")
    again = opened(folder.parent / "few.txt", spec)

    assert [again.label(i) for i in (0, 1)] == [7, 0]
    assert greys(again, [0, 1]) == greys(data, [2, 1])


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_utf8_is_read_back(folder: Path, spec: Callable) -> None:
    """Old archives are full of them."""
    Image.new("RGB", (4, 4), (99, 99, 99)).save(folder / "x.png", "PNG")
    os.rename(folder / "x.png", os.fsencode(folder) + b"/\xff\xe9.png")
    data = opened(folder, spec)
    row = next(i for i in range(len(data)) if "\\xff" in data.key(i))
    write_chosen(data, [row], folder.parent / "c.txt")

    assert greys(opened(folder.parent / "c.txt", spec), [0]) == [99.0]


def test_through_a_link_the_path_is_whole(folder: Path, spec: Callable) -> None:
    """`..` of a linked folder is another one."""
    (folder.parent / "far" / "away").mkdir(parents=True)
    (folder.parent / "near").symlink_to(folder.parent / "far" / "away")
    data = opened(folder, spec)
    write_chosen(data, [0, 1], folder.parent / "near" / "c.txt")

    assert greys(opened(folder.parent / "near" / "c.txt", spec), [0, 1]) == greys(data, [0, 1])


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_a_line_break_in_a_name_is_refused(folder: Path, spec: Callable) -> None:
    """A list cannot say it."""
    Image.new("RGB", (4, 4)).save(folder / "two\nlines.png", "PNG")
    data = opened(folder, spec)
    row = next(i for i in range(len(data)) if "\n" in data.key(i))
    with pytest.raises(InputError) as caught:
        write_chosen(data, [row], folder.parent / "c.txt")

    assert str(caught.value) == (
        f"{folder}/two\\nlines.png: a list has a line for each file, and this name has a line "
        "break. Rename the file."
    )
    assert not (folder.parent / "c.txt").exists()


def test_rows_of_an_array_file_stay_what_they_were(tmp_path: Path, spec: Callable) -> None:
    """uint8 pictures go through the preprocessing when they are read, and once."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "all.npz", x=pixels, labels=np.arange(6))
    data = opened(tmp_path / "all.npz", spec)
    write_chosen(data, [4, 1], tmp_path / "few.npz")
    again = opened(tmp_path / "few.npz", spec)
    with np.load(tmp_path / "few.npz") as found:
        assert found["x"].dtype == np.uint8
        np.testing.assert_array_equal(found["x"], pixels[[4, 1]])
    assert [again.label(i) for i in (0, 1)] == [4, 1]
    np.testing.assert_array_equal(again.read(0)["x"], data.read(4)["x"])


def test_pictures_become_tensors_in_an_npz(folder: Path, spec: Callable) -> None:
    """They are read back as they are; equal runs give equal bytes."""
    data = open_data(str(folder), [spec()], Preprocess(mean=(3,), std=(2,)))
    for name in ("a.npz", "b.npz"):
        write_chosen(data, [2, 0], folder.parent / name)
    again = open_data(str(folder.parent / "a.npz"), [spec()], Preprocess(mean=(3,), std=(2,)))

    np.testing.assert_array_equal(again.read(0)["x"], data.read(2)["x"])
    assert (folder.parent / "a.npz").read_bytes() == (folder.parent / "b.npz").read_bytes()


def test_pictures_of_many_sizes_are_no_array(folder: Path, spec: Callable) -> None:
    """The mend is a size."""
    Image.new("RGB", (6, 8)).save(folder / "large.png", "PNG")
    data = opened(folder, spec)
    rows = [i for i in range(len(data)) if data.key(i) in ("large.png", "plain.png")]
    with pytest.raises(InputError) as caught:
        write_chosen(data, rows, folder.parent / "c.npz")

    assert str(caught.value) == (
        f"--data {folder}: an .npz holds samples of one shape, saw 3x4x4 and 3x8x6 for input 'x'. "
        "Give --size WIDTHxHEIGHT."
    )


def test_a_wrong_suffix_is_refused_before_the_work(folder: Path, spec: Callable) -> None:
    """A list for arrays, and any other suffix."""
    np.save(folder / "x.npy", np.zeros((2, 3, 4, 4), np.float32))
    arrays, pictures = opened(folder / "x.npy", spec), opened(folder, spec)
    with pytest.raises(InputError) as caught:
        check_suffix(arrays, Path("out/c.txt"))
    assert str(caught.value) == (
        f"--out out/c.txt: a list names image files, and --data {folder}/x.npy has none. "
        "Give --out out/c.npz."
    )
    with pytest.raises(InputError) as caught:
        check_suffix(pictures, Path("c.csv"))
    assert str(caught.value) == (
        "--out c.csv: a choice is a .txt list of image files or an .npz of arrays, saw '.csv'. "
        "Call it c.txt."
    )
    with pytest.raises(InputError, match=r"saw ''. Call it c.npz.$"):
        check_suffix(arrays, Path("c"))

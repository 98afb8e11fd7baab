"""Labels: matched by path or unique base name, and every contradiction told."""

from pathlib import Path

import pytest

from quant.calibration.sources.labels import read_labels
from quant.common.errors import InputError


def csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "l.csv"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(tmp_path: Path, text: str, *keys: str) -> str:
    with pytest.raises(InputError) as caught:
        read_labels(csv(tmp_path, text), keys, "photos")
    return str(caught.value).removeprefix(str(tmp_path / "l.csv"))


def test_columns_in_any_order_with_more_of_them_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = csv(
        tmp_path, '\ufefflabel, file,name\n2,b/2.png,"a, b"\n\n 1 ,./a.png,x\n9,gone.png,x\n'
    )

    assert read_labels(path, ["a.png", "b/2.png"], "photos") == (1, 2)
    assert read_labels(None, ["a.png"], "photos") is None


def test_a_base_name_counts_where_it_is_unique_on_both_sides(tmp_path: Path) -> None:
    path = csv(tmp_path, "file,label\nval/a.png,1\nx/b.png,2\n")

    assert read_labels(path, ["deep/a.png", "x/b.png"], "photos") == (1, 2)
    assert refusal(tmp_path, "file,label\na.png,1\n", "u/a.png", "v/a.png", "a.png") == (
        ": every sample needs a label, saw none for 2 of 3: 'u/a.png', 'v/a.png'. "
        "Add rows for them, or move them away."
    )


def test_a_name_with_a_line_break_is_matched(tmp_path: Path) -> None:
    path = csv(tmp_path, 'file,label\n"two\nlines.png",3\n')

    assert read_labels(path, ["two\nlines.png"], "photos") == (3,)


def test_every_contradiction_is_a_sentence(tmp_path: Path) -> None:
    assert refusal(tmp_path, "name,label\n", "a") == (
        ":1: a header names the columns 'file' and 'label', saw 'name', 'label'. "
        "Add the column 'file'."
    )
    assert refusal(tmp_path, "", "a") == (
        ":1: a header names the columns 'file' and 'label', saw none. Add the column 'file'."
    )
    for text, seen in (("a,cat", "cat"), ("a,-1", "-1"), ("a", ""), ("a,1.0", "1.0")):
        assert refusal(tmp_path, f"file,label\n{text}\n", "a") == (
            f":2: a label is a whole number from 0, saw '{seen}'. Write the index of the class."
        )
    assert refusal(tmp_path, "file,label\na,1\n./a,1\n", "a") == (
        ":3: 'a' is labelled twice. Remove one of the rows."
    )
    assert refusal(tmp_path, "file,label\nq.png,1\nr.png,1\n", "a.png", "b.png") == (
        ": none of its 2 files is in photos, for example 'q.png' and 'a.png'. "
        "Write paths relative to the data folder."
    )
    assert refusal(tmp_path, 'file,label\n"a"b,1\n', "a") == (
        ": is not CSV in UTF-8: ',' expected after '\"'. Save it again."
    )


def test_a_file_that_is_missing_or_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    with pytest.raises(InputError) as missing:
        read_labels(path, ["a"], "photos")
    path.write_bytes(b"file,label\n\xff,1\n")
    with pytest.raises(InputError) as binary:
        read_labels(path, ["a"], "photos")

    assert str(missing.value) == (f"{path}: cannot be read: there is no such file. Mend the path.")
    assert str(binary.value).startswith(f"{path}: is not CSV in UTF-8: 'utf-8' codec can't decode")


def test_folders_are_numbered_in_sorted_order() -> None:
    assert read_labels("folders", ["b/1", "a/x/1", "b/2"], "photos") == (1, 0, 1)
    with pytest.raises(InputError) as caught:
        read_labels("folders", ["b/1", "loose.png"], "photos")

    assert str(caught.value) == (
        "--labels folders: every image lies in the folder of its class, saw 1 directly in photos: "
        "'loose.png'. Move them, or give a CSV file."
    )


def test_folders_are_distinguished_where_the_paths_first_differ() -> None:
    """A list names its images from where it lies, by a longer way than the folder does."""
    keys = ["set/dog/a.png", "set/cat/b.png", "set/dog/more/c.png"]

    assert read_labels("folders", keys, "list.txt") == (1, 0, 1)
    assert read_labels("folders", ["/x/y/7/a.png", "/x/y/3/b.png"], "list.txt") == (1, 0)
    assert read_labels("folders", ["one/a.png", "one/b.png"], "list.txt") == (0, 0)

"""The list file: paths in the order that was written, with labels on every line or on none."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from quant.calibration import Data, InputSpec, open_data
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess

Maker = Callable[..., Path]
Spec = Callable[..., InputSpec]


def opened(folder: Path, text: str, one: InputSpec, labels: Path | None = None) -> Data:
    (folder / "list.txt").write_text(text, encoding="utf-8")
    return open_data(str(folder / "list.txt"), [one], Preprocess(), labels)


def test_paths_are_relative_to_the_list_and_keep_its_order(pictures: Maker, spec: Spec) -> None:
    folder = pictures("a.png", "sub/b c.png", "d 7")
    data = opened(folder, "# comment\n\n./sub/b c.png\r\n  a.png\nd 7\n", spec())

    assert [data.key(i) for i in range(len(data))] == ["sub/b c.png", "a.png", "d 7"]
    assert [data.read(i)["x"][0, 0, 0] for i in range(3)] == [1, 0, 2]
    assert data.label(0) is None


@pytest.mark.parametrize("gap", [" ", "\t", ", ", ","])
def test_a_second_column_is_the_label(pictures: Maker, spec: Spec, gap: str) -> None:
    data = opened(pictures("a.png", "b c.png"), f"a.png{gap}3\nb c.png{gap}0\n", spec())

    assert [(data.key(i), data.label(i)) for i in range(2)] == [("a.png", 3), ("b c.png", 0)]


def test_a_csv_file_overrides_the_column(pictures: Maker, spec: Spec, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("file,label\na.png,7\n")

    assert opened(pictures("a.png"), "a.png 3\n", spec(), tmp_path / "l.csv").label(0) == 7


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# nothing\n", ": no path is listed. Write one path a line."),
        ("a.png\n\n./a.png\n", ":3: 'a.png' is listed twice. Remove one of the lines."),
        (
            "#\na.png 1\nb.png\n",
            ":3: this line has no label, 1 of 2 have. Give every line a label, or none.",
        ),
        ("a\0b", ": a list is text, saw a zero byte. Give a list of paths."),
    ],
)
def test_a_list_that_contradicts_itself_is_refused(
    pictures: Maker, spec: Spec, text: str, sentence: str
) -> None:
    folder = pictures("a.png")
    with pytest.raises(InputError) as caught:
        opened(folder, text, spec())

    assert str(caught.value) == f"{folder / 'list.txt'}{sentence}"


def test_a_missing_list_is_named(tmp_path: Path, spec: Spec) -> None:
    path = tmp_path / "no.txt"
    with pytest.raises(InputError) as caught:
        open_data(str(path), [spec()], Preprocess())

    assert str(caught.value) == (f"{path}: cannot be read: there is no such file. Mend the path.")


def example(folder: Path) -> str:
    """Return a list of three pictures with a class each."""
    for i in range(3):
        Image.new("RGB", (8, 8), (i, 40 * i, 7)).save(folder / f"{i}.png")
    (folder / "list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(3)))
    return str(folder / "list.txt")

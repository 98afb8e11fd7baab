"""Array files: floats verbatim, uint8 images preprocessed, one array for each input."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quant.calibration import InputSpec, open_data
from quant.calibration.sources.arrays import Rows
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess

Spec = Callable[..., InputSpec]
RNG = np.random.default_rng(5)


def test_a_float_npy_is_mapped_and_verbatim(tmp_path: Path, spec: Spec) -> None:
    saved = RNG.normal(size=(5, 3, 4, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", saved)
    data = open_data(str(tmp_path / "x.npy"), [spec()], Preprocess())

    assert isinstance(data, Rows)
    assert isinstance(data.rows["x"][0], np.memmap)
    assert len(data) == 5
    assert data.key(4) == "x.npy[4]"
    assert data.label(4) is None
    np.testing.assert_array_equal(data.read(4)["x"], saved[4])
    assert data.read(4)["x"].flags.writeable


def test_images_and_labels_of_an_npz(tmp_path: Path, spec: Spec) -> None:
    images = RNG.integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    path = tmp_path / "c.npz"
    np.savez(path, images=images, labels=np.array([5, 0, 9]))
    data = open_data(str(path), [spec((None, 3, 4, 4))], Preprocess(mean=(1,), std=(2,)))

    wanted = ((images[2].astype(np.float64) - 1) / 2).transpose(2, 0, 1)
    np.testing.assert_array_equal(data.read(2)["x"], wanted.astype(np.float32))
    assert [data.label(i) for i in range(3)] == [5, 0, 9]
    assert data.key(0) == "c.npz[0]"


def test_a_csv_file_labels_rows_by_key(tmp_path: Path, spec: Spec) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 1, 1), np.float32))
    (tmp_path / "l.csv").write_text("file,label\nx.npy[1],4\nx.npy[0],3\n")
    data = open_data(str(tmp_path / "x.npy"), [spec()], Preprocess(), tmp_path / "l.csv")

    assert [data.label(0), data.label(1)] == [3, 4]


def test_several_inputs_by_name_whatever_else_is_there(tmp_path: Path, spec: Spec) -> None:
    inputs = [spec(name="a/b"), spec((None, 2), "file", "int64"), spec((None,), "t")]
    arrays = {
        "a/b": np.ones((2, 3, 5, 5)),
        "file": np.arange(4).reshape(2, 2),
        "t": np.array([0.5, 1.5]),
        "extra": np.zeros(7),
    }
    path = tmp_path / "m.npz"
    with np.errstate(all="ignore"):
        _savez(path, arrays)
    feeds = open_data(str(path), inputs, Preprocess()).read(1)

    assert feeds["a/b"].dtype == np.float32
    assert feeds["file"].dtype == np.int64
    assert feeds["file"].tolist() == [2, 3]
    assert feeds["t"].shape == ()
    assert feeds["t"] == 1.5


def _savez(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """As numpy.savez, which cannot save an array called 'file'."""
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as stream:
                np.lib.format.write_array(stream, array)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (
            {"x": np.zeros((2, 3, 1, 1)), "labels": np.zeros(3, int)},
            (
                "every array needs the same number of rows, saw 'labels' 3, 'x' 2. "
                "Save one row for each sample."
            ),
        ),
        ({"x": np.zeros((0, 3, 1, 1))}, "there are no rows. Save one row for each sample."),
        ({"x": np.float32(3)}, "a single number has no rows. Save one row for each sample."),
        (
            {"a": np.zeros(1), "b": np.zeros(1)},
            (
                "every input of the model needs an array of its name, saw 'a', 'b' and none for 'x'. "
                "Save them with numpy.savez(file, **{'x': ...})."
            ),
        ),
        (
            {"x": np.zeros((1, 3, 1, 1)), "labels": np.zeros(1)},
            (
                "'labels' is one row of whole numbers from 0, saw float64 with 1 axes. "
                "Save the index of each row's class."
            ),
        ),
        (
            {"x": np.array([None])},
            (
                "is not a file of plain arrays that numpy reads. "
                "Save numbers, not objects, with numpy.save or numpy.savez."
            ),
        ),
    ],
)
def test_an_npz_that_does_not_fit_is_refused(
    tmp_path: Path, spec: Spec, arrays: dict[str, np.ndarray], sentence: str
) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError) as caught:
        open_data(str(path), [spec()], Preprocess())

    assert str(caught.value) == f"{path}: {sentence}"


def test_a_row_of_another_shape_is_refused_when_the_file_is_opened(
    tmp_path: Path, spec: Spec
) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 4, 4), np.float32))
    with pytest.raises(InputError) as caught:
        open_data(str(path), [spec()], Preprocess())

    assert str(caught.value) == (
        f"{path}[0]: input 'x' takes 3x?x? without the batch axis, saw 4x4. "
        f"Save rows of that shape."
    )


def test_one_nameless_array_cannot_feed_two_inputs(tmp_path: Path, spec: Spec) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 4, 4), np.float32))
    with pytest.raises(InputError) as caught:
        open_data(str(path), [spec(name="a"), spec(name="b")], Preprocess())

    assert str(caught.value) == (
        f"{path}: every input of the model needs an array of its name, saw one without a name "
        f"and none for 'a', 'b'. Save them with numpy.savez(file, **{{'a': ...}})."
    )


@pytest.mark.parametrize(
    "content", [b"", b"text", b"PK\x03\x04broken", b"\x93NUMPY\x01\x00\x02\x00{}"]
)
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_broken_files_are_refused_in_one_sentence(
    tmp_path: Path, spec: Spec, content: bytes, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        open_data(str(path), [spec()], Preprocess())

    assert str(caught.value) == (
        f"{path}: is not a file of plain arrays that numpy reads. "
        f"Save numbers, not objects, with numpy.save or numpy.savez."
    )


def test_a_missing_file_and_folder_labels_are_refused(tmp_path: Path, spec: Spec) -> None:
    path = tmp_path / "a.npy"
    with pytest.raises(InputError) as missing:
        open_data(str(path), [spec()], Preprocess())
    np.save(path, np.zeros((1, 3, 4, 4), np.float32))
    with pytest.raises(InputError) as folders:
        open_data(str(path), [spec()], Preprocess(), "folders")

    assert str(missing.value) == (f"{path}: cannot be read: there is no such file. Mend the path.")
    assert str(folders.value) == (
        f"--labels folders: needs a folder of images, saw '{path}'. Drop it."
    )


def example(folder: Path) -> str:
    """Return a file of three samples."""
    pixels = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), np.uint8)
    np.save(folder / "x.npy", pixels)
    return str(folder / "x.npy")

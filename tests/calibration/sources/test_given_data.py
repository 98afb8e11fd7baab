"""Samples in memory: every kind that a program may hold, one description each, one sentence for the rest."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from quant.calibration import BadSample, Data, InputSpec
from quant.calibration.sources.given_data import GivenData
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess

Spec = Callable[..., InputSpec]
FLOATS = np.arange(6 * 3 * 2 * 2, dtype=np.float32).reshape(6, 3, 2, 2)
IMAGES = np.arange(6 * 2 * 2 * 3, dtype=np.uint8).reshape(6, 2, 2, 3)
CLASSES = [3, 1, 4, 1, 5, 9]
PIXELS = Preprocess(mean=(1,), std=(2,))


def opened(value: Any, spec: InputSpec, preprocess: Preprocess | None = None, **rest: Any) -> Data:
    return GivenData(value, **rest).open([spec], preprocess or Preprocess())


class Reader:
    """What ONNX Runtime's quantizer reads from: a dict of batches of one, then None."""

    def __init__(self) -> None:
        self._rows = iter(FLOATS)

    def get_next(self) -> dict[str, np.ndarray] | None:
        row = next(self._rows, None)
        return None if row is None else {"x": row[None]}


def yielded() -> Iterator[np.ndarray]:
    yield from FLOATS


KINDS: dict[str, tuple[Callable[[], Any], str]] = {
    "an array": (lambda: FLOATS, "arrays: 1 x float32[6,3,2,2]"),
    "a tensor": (lambda: torch.tensor(FLOATS, requires_grad=True), "arrays: 1 x float32[6,3,2,2]"),
    "a dict": (lambda: {"x": FLOATS}, "arrays: 1 x float32[6,3,2,2]"),
    "a list of samples": (lambda: list(FLOATS), "arrays: 6 x float32[3,2,2]"),
    "a list of dicts": (lambda: [{"x": row} for row in FLOATS], "list: 6 samples"),
    "a list of batches": (lambda: [FLOATS[:3], FLOATS[3:]], "arrays: 2 x float32[3,3,2,2]"),
    "uneven batches": (lambda: [FLOATS[:5], FLOATS[5:]], "arrays: 2 of several shapes"),
    "a generator": (yielded, "generator: 6 samples"),
    "a generator function": (lambda: yielded, "generator: 6 samples"),
    "an iterator of batches": (lambda: iter([FLOATS[:4], FLOATS[4:]]), "list_iterator: 6 samples"),
    "a data set": (lambda: TensorDataset(torch.tensor(FLOATS), torch.zeros(6).long()), ""),
    "a loader": (lambda: DataLoader(torch.tensor(FLOATS), batch_size=4), "DataLoader: 6 samples"),
    "a loader of samples": (lambda: DataLoader(torch.tensor(FLOATS), batch_size=None), ""),
    "a reader": (Reader, "Reader: 6 samples"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_samples_and_describes_itself(kind: str, spec: Spec) -> None:
    """Whoever holds the numbers, the model sees them as they are, and run.json says what they were."""
    make, name = KINDS[kind]
    data = opened(make(), spec())

    assert len(data) == 6
    assert not name or data.name == name
    for i in (5, 0):
        np.testing.assert_array_equal(data.read(i)["x"], FLOATS[i])
        assert data.key(i) in (f"arrays[{i}]", f"samples[{i}]")


LABELLED: dict[str, Callable[[], Any]] = {
    "a pair of arrays": lambda: (FLOATS, np.array(CLASSES)),
    "an array and a list": lambda: (FLOATS, CLASSES),
    "labels in a dict": lambda: {"x": FLOATS, "labels": np.array(CLASSES)},
    "pairs": lambda: list(zip(FLOATS, CLASSES, strict=True)),
    "yielded pairs": lambda: zip(FLOATS, np.array(CLASSES), strict=True),
    "batches of pairs": lambda: [(FLOATS[:4], np.array(CLASSES[:4])), (FLOATS[4:], [5, 9])],
    "a data set": lambda: TensorDataset(torch.tensor(FLOATS), torch.tensor(CLASSES)),
    "a loader": lambda: DataLoader(
        TensorDataset(torch.tensor(FLOATS), torch.tensor(CLASSES)), batch_size=4
    ),
}


@pytest.mark.parametrize("kind", LABELLED)
def test_classes_come_with_the_samples(kind: str, spec: Spec) -> None:
    data = opened(LABELLED[kind](), spec())

    assert [data.label(i) for i in range(6)] == CLASSES
    np.testing.assert_array_equal(data.read(4)["x"], FLOATS[4])


@pytest.mark.parametrize("classes", [CLASSES, np.array(CLASSES), torch.tensor(CLASSES)])
@pytest.mark.parametrize("value", [FLOATS, list(FLOATS)])
def test_classes_stand_beside_the_samples(value: Any, classes: Any, spec: Spec) -> None:
    data = opened(value, spec(), classes=classes)

    assert [data.label(i) for i in range(6)] == CLASSES


@pytest.mark.parametrize(
    "make",
    [
        lambda: IMAGES,
        lambda: list(IMAGES),
        lambda: [IMAGES[:4], IMAGES[4:]],
        lambda: [Image.fromarray(x) for x in IMAGES],
        lambda: iter(IMAGES),
        lambda: DataLoader(torch.tensor(IMAGES), batch_size=3),
    ],
)
def test_images_of_eight_bits_are_preprocessed(make: Callable[[], Any], spec: Spec) -> None:
    data = opened(make(), spec(), PIXELS)

    wanted = ((IMAGES[3].astype(np.float64) - 1) / 2).transpose(2, 0, 1)
    np.testing.assert_array_equal(data.read(3)["x"], wanted.astype(np.float32))


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1)])
def test_gray_images_feed_a_model_of_one_channel(shape: tuple[int, ...], spec: Spec) -> None:
    gray = Preprocess(channels="GRAY", std=(255,))
    data = opened([np.full(shape, 51, np.uint8)] * 3, spec((None, 1, 2, 2)), gray)

    np.testing.assert_array_equal(data.read(0)["x"], np.full((1, 2, 2), 0.2, np.float32))


def test_paths_of_images_are_read_and_a_broken_one_is_skipped(
    pictures: Callable[..., Path], spec: Spec
) -> None:
    folder = pictures("a.png", "b.png")
    (folder / "c.png").write_text("no image")
    paths = [(str(folder / "b.png"), 7), (folder / "c.png", 8)]
    for value in (paths, iter(paths)):
        data = opened(value, spec())

        assert (data.read(0)["x"] == 1).all()
        assert data.label(0) == 7
        with pytest.raises(BadSample):
            data.read(1)


def test_what_the_preprocessing_makes_may_come_as_tensors(spec: Spec) -> None:
    """The files of a target then say how a picture becomes the input, although none was given."""
    tensors = [PIXELS.apply(Image.fromarray(x)) for x in IMAGES]

    assert len(opened(tensors, spec(), PIXELS)) == 6


def test_an_endless_iterable_is_read_as_far_as_it_is_needed(spec: Spec) -> None:
    def endless() -> Iterator[np.ndarray]:
        while True:
            yield FLOATS[0]

    data = opened(endless, spec(), most=4)

    assert len(data) == 4
    assert data.name == "generator: the first 4 samples"


def mended(value: Any, **rest: Any) -> Any:
    return GivenData(value, **rest)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            mended(7),
            (
                "data: it is a path, an array, a dict of arrays by input name, a sequence or an "
                "iterable of samples, saw 'int'. Give one of these."
            ),
        ),
        (mended([]), "samples: there is no sample. Give at least one."),
        (
            mended(FLOATS.transpose(0, 2, 3, 1)),
            (
                "arrays[0]: input 'x' takes 3x?x? without the batch axis, saw 2x2x3. Move the "
                "channels first, or give uint8 images, which are preprocessed."
            ),
        ),
        (
            mended(IMAGES.transpose(0, 3, 1, 2)[:, :, :, [0, 1, 0, 1, 0]]),
            (
                "arrays[0]: uint8 images are HxW or HxWxC, saw 3x2x5. Move the channels last, or "
                "save the model's own input as float32."
            ),
        ),
        (
            mended([(FLOATS[0], {"boxes": 1})]),
            (
                "samples[0]: the second of a pair is its class, a whole number, saw 'dict'. Give the "
                "first alone, or a dict by input name."
            ),
        ),
        (
            mended([(FLOATS[:4], np.arange(3))]),
            (
                "samples[0]: every array of a batch has the same number of samples, saw 'x' 4, "
                "its classes 3. Mend the batch."
            ),
        ),
        (
            mended([{"y": FLOATS[0]}]),
            (
                "samples[0]: an item is a dict with a key for each input, saw 'y' and wanted 'x'. "
                "Mend the names."
            ),
        ),
        (
            mended(list(FLOATS), classes=[1, 2]),
            "labels: every sample has one class, saw 2 for 6 samples. Give as many.",
        ),
        (
            mended(FLOATS, classes=["cat"] * 6),
            (
                "labels: for data in memory they are one whole number for each sample, or a CSV "
                "file, saw 'list'. Give a list or an array of classes."
            ),
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(
    value: GivenData, sentence: str, spec: Spec
) -> None:
    with pytest.raises(InputError) as caught:
        value.open([spec()], Preprocess()).read(0)

    assert str(caught.value) == sentence


@pytest.mark.parametrize("value", [FLOATS, list(FLOATS), [FLOATS], iter(FLOATS)])
def test_a_preprocessing_that_would_be_passed_over_is_refused(value: Any, spec: Spec) -> None:
    """Mean and std beside tensors are a mistake, and it must not pass in silence."""
    with pytest.raises(InputError) as caught:
        opened(value, spec(), Preprocess(mean=(0.3,))).read(0)

    assert str(caught.value).split(": ", 1)[1] == (
        "only uint8 images are preprocessed, these arrays go to the model as they are, and the "
        "preprocessing that was given does not make them. Drop it, or give the images."
    )


def test_a_csv_file_labels_arrays_too(tmp_path: Path, spec: Spec) -> None:
    """A file that is passed over in silence leaves a run without its accuracy."""
    path = tmp_path / "labels.csv"
    rows = [f"arrays[{i}],{label}" for i, label in enumerate(CLASSES)]
    path.write_text("\n".join(["file,label", *rows, ""]))
    data = GivenData(FLOATS).open([spec()], Preprocess(), path)

    assert [data.label(i) for i in range(6)] == CLASSES
    with pytest.raises(InputError, match=r"there is no such file"):
        GivenData(FLOATS).open([spec()], Preprocess(), tmp_path / "nope.csv")


def test_folders_label_no_memory(spec: Spec) -> None:
    with pytest.raises(InputError) as caught:
        GivenData(FLOATS).open([spec()], Preprocess(), "folders")

    assert str(caught.value) == (
        "labels: 'folders' needs a folder of images, saw data in memory. Give the classes."
    )

"""The function: sequences and iterables of a user's own, and their failures under their name."""

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from quant.calibration import BadSample, Data, InputSpec, open_data
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess

Spec = Callable[..., InputSpec]

MODULE = """
import numpy as np
from PIL import Image
from quant.calibration import BadSample

def row(i): return np.full((3, 2, 2), i, np.float64)
def array(): return np.stack([row(0), row(1)])
def listed(): return [(row(0), 4), (row(1), np.int64(5)), (row(2), 6)]
def yielded():
    for i in range(3):
        yield {"x": row(i)}, i * 10
def images(): return [Image.new("L", (2, 2), 7), np.full((2, 2, 3), 8, np.uint8)]
def streamed_images(): return iter(images())
def pairs(): return [{"a": row(1), "b": np.arange(2)}]
class Bad:
    def __len__(self): return 3
    def __getitem__(self, i):
        if i == 1: raise BadSample("no such row")
        if i == 2: raise KeyError("gone")
        return row(i)
class Space:
    make = Bad
def number(): return 3
def empty(): return []
def fails(): raise ValueError("it broke.\\nsecond line")
def fails_late():
    yield row(0)
    raise OSError("disk")
class Stubborn:
    def __iter__(self): raise TypeError("no")
def ragged(): return [[[1], [2, 3]]]
def endless():
    while True: yield row(0)
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "mine_.py").write_text(MODULE)
    (tmp_path / "sick_.py").write_text("import not_there_")
    (tmp_path / "crash_.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("mine_", "sick_", "crash_"):
        sys.modules.pop(name, None)


def opened(name: str, *inputs: InputSpec, labels: Path | None = None) -> Data:
    return open_data(name, inputs, Preprocess(), labels)


@pytest.mark.parametrize(
    ("name", "labels"),
    [("array", [None, None]), ("listed", [4, 5, 6]), ("yielded", [0, 10, 20])],
)
def test_sequences_and_iterables_give_the_same_kind_of_samples(
    spec: Spec, name: str, labels: list[int | None]
) -> None:
    data = opened(f"mine_:{name}", spec())

    assert [data.label(i) for i in range(len(data))] == labels
    assert data.key(1) == f"mine_:{name}[1]"
    for i in range(len(data)):
        one = data.read(i)["x"]
        assert one.dtype == np.float32
        assert one.tolist() == np.full((3, 2, 2), i).tolist()


@pytest.mark.parametrize("name", ["images", "streamed_images"])
def test_images_are_preprocessed_once(spec: Spec, name: str) -> None:
    data = open_data(f"mine_:{name}", [spec()], Preprocess(mean=(1,)))

    assert [set(data.read(i)["x"].ravel().tolist()) for i in (0, 1)] == [{6.0}, {7.0}]


def test_several_inputs_come_as_a_dict(spec: Spec) -> None:
    feeds = opened("mine_:pairs", spec(name="a"), spec((None, 2), "b", "int64")).read(0)

    assert feeds["a"].shape == (3, 2, 2)
    assert feeds["b"].tolist() == [0, 1]


def test_what_was_spilled_goes_with_the_data(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = opened("mine_:yielded", spec())
    assert len(list(tmp_path.glob("quant-*/*.npz"))) == 3

    del data
    gc.collect()
    assert not list(tmp_path.glob("quant-*"))


def test_an_item_can_be_skipped_and_a_failing_one_is_named(spec: Spec) -> None:
    data = opened("mine_:Space.make", spec())

    with pytest.raises(BadSample, match=r"^no such row$"):
        data.read(1)
    with pytest.raises(InputError) as caught:
        data.read(2)
    assert str(caught.value) == (
        "mine_:Space.make[2]: it failed with 'KeyError: 'gone''. --debug shows where."
    )


def test_a_csv_file_labels_items(spec: Spec, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("file,label\nmine_:array[0],8\nmine_:array[1],9\n")

    data = opened("mine_:array", spec(), labels=tmp_path / "l.csv")
    assert [data.label(0), data.label(1)] == [8, 9]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "gone_.sub:f",
            (
                "gone_.sub:f: no module is named 'gone_', neither installed nor in the current folder. "
                "Mend the name, or change to its folder."
            ),
        ),
        (
            "sick_:f",
            (
                "sick_:f: importing 'sick_' failed with 'ModuleNotFoundError: No module named "
                "'not_there_''. --debug shows where."
            ),
        ),
        (
            "crash_:f",
            (
                "crash_:f: importing 'crash_' failed with 'ZeroDivisionError: division by zero'. "
                "--debug shows where."
            ),
        ),
        ("mine_:nope", "mine_:nope: 'mine_' has no 'nope'. Did you mean 'np'?"),
        (
            "mine_:number",
            (
                "mine_:number: the function returns a sequence or an iterable of samples, saw 'int'. "
                "Return a list, or yield the samples."
            ),
        ),
        ("mine_:empty", "mine_:empty: there is no sample. Give at least one."),
        (
            "mine_:fails",
            "mine_:fails: it failed with 'ValueError: it broke'. --debug shows where.",
        ),
        (
            "mine_:fails_late",
            "mine_:fails_late[1]: it failed with 'OSError: disk'. --debug shows where.",
        ),
        (
            "mine_:Stubborn",
            "mine_:Stubborn: it failed with 'TypeError: no'. --debug shows where.",
        ),
        (
            "mine_:endless",
            (
                "mine_:endless: an iterable may hold 0 GiB, saw more after 3 samples. "
                "End it sooner, or return a sequence."
            ),
        ),
    ],
)
def test_every_failure_is_a_sentence_with_the_functions_name(
    spec: Spec, name: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quant.calibration.sources.spilled.SPILL_LIMIT", 700)
    with pytest.raises(InputError) as caught:
        opened(name, spec())

    assert str(caught.value) == sentence


def test_items_of_a_wrong_kind_are_refused(spec: Spec) -> None:
    with pytest.raises(InputError) as names:
        opened("mine_:pairs", spec()).read(0)
    with pytest.raises(InputError) as single:
        opened("mine_:array", spec(name="a"), spec(name="b")).read(0)
    with pytest.raises(InputError) as ragged:
        opened("mine_:ragged", spec()).read(0)
    with pytest.raises(InputError) as folders:
        open_data("mine_:array", [spec()], Preprocess(), "folders")

    assert str(names.value) == (
        "mine_:pairs[0]: an item is a dict with a key for each input, saw 'a', 'b' "
        "and wanted 'x'. Mend the names."
    )
    assert str(single.value) == (
        "mine_:array[0]: an item is a dict with a key for each input, saw 'ndarray' "
        "and wanted 'a', 'b'. Mend the names."
    )
    assert str(ragged.value).startswith("mine_:ragged[0]: it failed with 'ValueError: ")
    assert str(folders.value) == (
        "--labels folders: needs a folder of images, saw 'mine_:array'. Drop it."
    )


def example(folder: Path) -> str:
    """Return a function that makes three pictures."""
    name = f"example_{folder.name}_"
    sys.path.insert(0, str(folder))
    (folder / f"{name}.py").write_text(
        "import numpy as np\n"
        "def make(): return [np.full((8, 8, 3), 40 * i, np.uint8) for i in range(3)]\n"
    )
    return f"{name}:make"

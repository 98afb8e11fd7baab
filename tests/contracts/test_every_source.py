"""What every data source promises, whoever wrote it: the same samples, again and from any thread.

The test file of a source, below `tests/calibration/sources`, has a function `example`, which writes
at least three samples of it into a folder, each an RGB picture of 8 x 8, and returns what one would
give as --data. These tests find the source's name by that.
"""

import builtins
import importlib
import io
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from quant.calibration import SOURCES, BadSample, Data, InputSpec, open_data
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess

Example = Callable[[Path], str]
INPUT = InputSpec(name="x", dtype=np.dtype(np.float32), shape=(None, 3, 8, 8))
PREPROCESS = Preprocess(size=(8, 8))
EVERY_SOURCE = pytest.mark.parametrize("name", list(SOURCES))
STRANGE = [
    *("", " ", "\0", "a\0b.npy", "\udcff.txt", "x" * 5000, "x" * 5000 + ".npz", "line\nbreak.txt"),
    *("http://host/x.npy", "C:\\pictures", "../..", "//", ":", "a:", ":b", "a.b:c:d", "module:x y"),
    *("nowhere/at/all", "nowhere.txt", "nowhere.npz", "not_a_module_:thing"),
]


def examples() -> list[Example]:
    """Return the examples of all the sources' test files."""
    folder = Path(__file__).parents[1] / "calibration" / "sources"
    names = [f"tests.calibration.sources.{p.stem}" for p in sorted(folder.glob("test_*.py"))]
    modules = [importlib.import_module(name) for name in names]
    return [module.example for module in modules if hasattr(module, "example")]


@pytest.fixture
def spec(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what one would give as --data for the source that the test is about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for number, example in enumerate(examples()):
        folder = tmp_path / str(number)
        folder.mkdir()
        text = example(folder)
        if SOURCES[name].accepts(text):
            return text
    pytest.fail(f"no test file of tests/calibration/sources has an `example` of '{name}'")


def opened(spec: str) -> Data:
    return open_data(spec, [INPUT], PREPROCESS)


@EVERY_SOURCE
def test_a_source_says_what_it_is(name: str) -> None:
    """`quant list sources` prints the first line of its docstring."""
    assert str(SOURCES[name].__doc__).strip()


@EVERY_SOURCE
@pytest.mark.parametrize("text", STRANGE, ids=range(len(STRANGE)))
def test_whether_a_source_accepts_is_answered_by_looking_at_the_name(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every source is asked about every --data: none may raise, read a file or import a module."""

    def refused(*args: object, **kwargs: object) -> object:
        raise AssertionError("it opened a file")

    monkeypatch.setattr(builtins, "open", refused)
    monkeypatch.setattr(io, "open", refused)
    modules = set(sys.modules)

    assert SOURCES[name].accepts(text) in (True, False)
    assert set(sys.modules) == modules


@EVERY_SOURCE
def test_only_one_source_accepts_an_example(name: str, spec: str) -> None:
    assert [other for other in SOURCES if SOURCES[other].accepts(spec)] == [name]


@EVERY_SOURCE
def test_samples_are_what_the_models_input_takes(name: str, spec: str) -> None:
    """One sample, without the batch axis, under the name of the input."""
    data = opened(spec)

    assert data.name == spec
    assert len(data) >= 3
    for i in range(len(data)):
        sample = data.read(i)
        assert list(sample) == ["x"]
        assert sample["x"].shape == (3, 8, 8)
        assert sample["x"].dtype == np.float32
        label = data.label(i)
        assert label is None or (isinstance(label, int) and label >= 0)


@EVERY_SOURCE
def test_keys_are_unique_and_one_line_each(name: str, spec: str) -> None:
    """Lists of chosen samples, messages and tables name samples by their keys."""
    data = opened(spec)
    keys = [data.key(i) for i in range(len(data))]

    assert len(set(keys)) == len(keys)
    assert all(key and key.isprintable() for key in keys)


@EVERY_SOURCE
def test_a_sample_is_the_same_whenever_and_wherever_it_is_read(name: str, spec: str) -> None:
    """The digest of a run stands on it, and samples are read ahead by several threads."""
    data, again = opened(spec), opened(spec)
    first = [data.read(i)["x"].copy() for i in range(len(data))]
    for i in range(len(data)):
        array = data.read(i)["x"]
        if array.flags.writeable:
            array += 1  # a reader may do what it likes with its copy
    with ThreadPoolExecutor(4) as pool:
        threads = list(pool.map(data.read, [*range(len(data))] * 3))

    for i, wanted in enumerate(first):
        np.testing.assert_array_equal(data.read(i)["x"], wanted)
        np.testing.assert_array_equal(again.read(i)["x"], wanted)
        assert again.key(i) == data.key(i)
        for sample in threads[i :: len(data)]:
            np.testing.assert_array_equal(sample["x"], wanted)


@EVERY_SOURCE
def test_a_number_beyond_the_last_sample_is_refused(name: str, spec: str) -> None:
    """A silent wrap-around would let one sample count twice."""
    data = opened(spec)
    with pytest.raises((IndexError, InputError, BadSample)):
        data.read(len(data))


@EVERY_SOURCE
def test_inputs_that_the_samples_do_not_fit_are_refused(name: str, spec: str) -> None:
    """Before the work begins, or with the first sample, as a sentence for the user."""
    other = InputSpec(name="x", dtype=np.dtype(np.float32), shape=(None, 5, 8, 8))
    with pytest.raises(InputError, match=r"\w"):
        open_data(spec, [other], PREPROCESS).read(0)

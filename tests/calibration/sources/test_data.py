"""Data: the source is found by what was given, and a third party's source is one of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from quant.calibration import SOURCES, Data, InputSpec, Labels, open_data
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess

Spec = Callable[..., InputSpec]


def test_our_sources_are_registered_and_documented() -> None:
    assert {"arrays", "folder", "function", "list"} <= set(SOURCES)
    assert all(SOURCES[name].__doc__ for name in SOURCES)


@pytest.mark.parametrize(
    ("name", "text"),
    [("arrays", "a.npz"), ("arrays", "A.NPY"), ("list", "a.txt"), ("function", "a.b:c.d")],
)
def test_one_source_takes_each_kind(name: str, text: str) -> None:
    assert [one for one in SOURCES if SOURCES[one].accepts(text)] == [name]


def test_a_folder_is_a_folder_whatever_it_is_called(tmp_path: Path) -> None:
    for called in ("a.txt", "b.npz"):
        (tmp_path / called).mkdir()
        assert [s for s in SOURCES if SOURCES[s].accepts(str(tmp_path / called))] == ["folder"]


def test_data_that_no_source_accepts_is_refused_with_the_list(tmp_path: Path, spec: Spec) -> None:
    (tmp_path / "a.mp4").touch()
    mend = "Give a folder of images, a .txt list, a .npy or .npz file, or module:function."

    for name, seen in (("a.mp4", "is of no known kind"), ("photoz", "does not exist")):
        with pytest.raises(InputError) as caught:
            open_data(str(tmp_path / name), [spec()], Preprocess())
        assert str(caught.value) == f"--data {tmp_path / name}: {seen}. {mend}"


def test_two_takers_are_both_named(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    class Greedy:
        """Takes all."""

        def accepts(self, spec: str) -> bool:
            return True

        def open(
            self, spec: str, inputs: Sequence[InputSpec], preprocess: Preprocess, labels: Labels
        ) -> Data:
            raise NotImplementedError

    assert len(SOURCES) >= 4
    monkeypatch.setattr(SOURCES, "_table", SOURCES._table | {"greedy": Greedy()})
    with pytest.raises(InputError) as caught:
        open_data("a.npy", [spec()], Preprocess())

    assert str(caught.value) == (
        "--data a.npy: only one source may take it, saw arrays, greedy. "
        "Rename the data, or remove one source."
    )

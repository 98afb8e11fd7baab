"""The profile's file: exact, the same bytes twice, and refused with a sentence when it is not one."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from quant.common.errors import InputError
from quant.profile.file import load_done, load_profile, save_profile
from quant.profile.statistics import Profile, Provenance, TensorProfile

HOSTILE = [
    "",
    "/",
    "../../etc/passwd",
    "two\nlines",
    'a "quoted" name\\',
    "it's {not} a <template> & no %s",
    "größe/层/🙂",
    "nul\x00 and \x1b[31m escape",
    "half a pair \udcff",
    "00000.bins",
    "__metadata__",
]
ARRAYS = ("channel_low", "channel_high", "means", "bins")


def seen(seed: int = 0, channels: int = 3) -> TensorProfile:
    """Return numbers that a text of few digits would not keep."""
    rng = np.random.default_rng(seed)
    return TensorProfile(
        count=2**60 + seed,
        low=float(np.float32(-1 / 3)),
        high=float(np.finfo(np.float32).max),
        channel_low=rng.normal(size=channels).astype(np.float32),
        channel_high=rng.normal(size=channels).astype(np.float32),
        means=rng.integers(-(2**62), 2**62, (2, channels)),
        sampled=2**53 + 1,
        zeros=7,
        nonfinite=1,
        nonfinite_sample="photos/a b.jpg",
        exponent=-120,
        start=-4096,
        bins=rng.integers(0, 2**62, 9),
    )


def nothing() -> TensorProfile:
    none = np.empty(0, np.float32)
    return TensorProfile(
        count=0,
        low=math.inf,
        high=-math.inf,
        channel_low=none,
        channel_high=none,
        means=np.empty((2, 0), np.int64),
        sampled=0,
        zeros=0,
        nonfinite=0,
        nonfinite_sample="",
        exponent=-120,
        start=0,
        bins=np.zeros(0, np.int64),
    )


def profile(tensors: dict[str, TensorProfile] | None = None) -> Profile:
    held = {"x": seen(), "empty": nothing()} if tensors is None else tensors
    origin = Provenance(graph="ab" * 32, preprocess="", settings="s", data=2**256 - 1, samples=12)
    return Profile(tensors=held, provenance=origin)


def assert_same(a: Profile, b: Profile) -> None:
    assert a.provenance == b.provenance
    assert list(a.tensors) == list(b.tensors)
    for name, one in a.tensors.items():
        other = b.tensors[name]
        for key in TensorProfile.__slots__:
            mine, its = getattr(one, key), getattr(other, key)
            if key in ARRAYS:
                assert (mine.dtype, mine.shape) == (its.dtype, its.shape)
                assert mine.tobytes() == its.tobytes()
            else:
                assert (type(mine), mine) == (type(its), its)


def head(path: Path) -> dict[str, object]:
    with safe_open(path, framework="numpy") as file:
        read: dict[str, object] = json.loads(file.metadata()["quant"])
        return read


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "profile.safetensors"

    save_profile(profile(), path)
    assert_same(load_profile(path), profile())
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_profile_of_no_tensor_is_a_file_too(tmp_path: Path) -> None:
    save_profile(profile({}), tmp_path / "p")

    assert_same(load_profile(tmp_path / "p"), profile({}))


def test_parts_of_larger_arrays_are_written_as_they_look(tmp_path: Path) -> None:
    """A view's memory would be written as it lies, without a word from safetensors."""
    whole = seen(channels=6)
    strange = {
        "channel_low": whole.channel_low[::-2],
        "channel_high": whole.channel_high[::-2],
        "means": np.asfortranarray(whole.means[:, ::2]),
        "bins": whole.bins[1:8:3],
    }
    fields = {key: getattr(whole, key) for key in TensorProfile.__slots__} | strange
    odd = profile({"x": TensorProfile(**fields)})

    save_profile(odd, tmp_path / "p")
    assert_same(load_profile(tmp_path / "p"), odd)


def test_hostile_names_of_tensors_and_samples_come_back(tmp_path: Path) -> None:
    """A tensor's name is the model's choice, and a sample's key the file system's."""
    rows = {
        name: TensorProfile(
            **{
                key: getattr(seen(i), key)
                for key in TensorProfile.__slots__
                if key != "nonfinite_sample"
            },
            nonfinite_sample=name,
        )
        for i, name in enumerate(HOSTILE)
    }

    save_profile(profile(rows), tmp_path / "p", HOSTILE)
    assert_same(load_profile(tmp_path / "p"), profile(rows))
    assert load_done(tmp_path / "p") == sorted(HOSTILE)
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_the_same_profile_gives_the_same_bytes(tmp_path: Path) -> None:
    """Bytes that change from run to run cannot be compared, signed or cached."""
    for name in "ab":
        save_profile(profile(), tmp_path / name, ["s2", "s1"])

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    """Hash seeds differ from process to process; nothing of them may reach the file."""
    here, there = tmp_path / "a.bin", tmp_path / "b.bin"
    save_profile(profile(), here)

    code = (
        "import sys; from pathlib import Path; from quant.profile.file import *; "
        "save_profile(load_profile(Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, here, there], check=True, timeout=60)
    assert there.read_bytes() == here.read_bytes()


def test_done_is_there_only_where_a_run_is_unfinished(tmp_path: Path) -> None:
    save_profile(profile(), tmp_path / "whole")
    save_profile(profile(), tmp_path / "part", ["b", "a", "c"])
    save_profile(profile(), tmp_path / "other order", ["c", "b", "a"])

    assert load_done(tmp_path / "whole") == []
    assert "done" not in head(tmp_path / "whole")
    assert load_done(tmp_path / "part") == ["a", "b", "c"]
    assert (tmp_path / "part").read_bytes() == (tmp_path / "other order").read_bytes()
    assert_same(load_profile(tmp_path / "part"), profile())


def test_a_file_that_is_cut_short_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p"
    save_profile(profile(), path)
    before = path.read_bytes()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    wanted = f"{path}: cannot be written: the disk is full. Choose another --out."
    with pytest.raises(InputError, match=f"^{re.escape(wanted)}$"):
        save_profile(profile({}), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_profile(path)
    return str(caught.value)


def test_the_message_says_that_a_file_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "p"

    assert refused(path) == f"{path}: not a readable profile: no such file. Profile again."


def test_a_folder_is_not_a_profile(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith(f"{tmp_path}: not a readable profile: ")


@pytest.mark.parametrize("keep", [0, 7, 8, 100, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "p"
    save_profile(profile(), path)
    path.write_bytes(path.read_bytes()[:keep])

    said = refused(path)
    assert said.startswith(f"{path}: not a readable profile: ")
    assert said.endswith(". Profile again.")


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_text("this is a shopping list and no profile at all\n")

    assert refused(path).startswith(f"{path}: not a readable profile: ")


@pytest.mark.parametrize(
    ("metadata", "format_"),
    [
        (None, "none"),
        ({"other": "1"}, "none"),
        ({"quant": '{"format":"quant-profile-99"}'}, "quant-profile-99"),
    ],
)
def test_another_format_is_named(
    tmp_path: Path, metadata: dict[str, str] | None, format_: str
) -> None:
    path = tmp_path / "p"
    path.write_bytes(save({"a": np.zeros(2, np.float32)}, metadata=metadata))

    assert refused(path) == (
        f"{path}: not a profile of this version: its format is '{format_}', "
        "wanted 'quant-profile-1'. Profile again."
    )


@pytest.mark.parametrize(
    "mend",
    [
        lambda held: held.pop("graph"),
        lambda held: held.pop("tensors"),
        lambda held: held.update(data="no number"),
        lambda held: held.update(tensors=[1]),
        lambda held: held["tensors"][0].pop("name"),
        lambda held: held["tensors"][0].update(count=None),
        lambda held: held["tensors"][0].update(low="far"),
        lambda held: held["tensors"].append(held["tensors"][0]),  # its arrays are missing
    ],
)
def test_a_head_that_lacks_something_is_refused(tmp_path: Path, mend: object) -> None:
    path = tmp_path / "p"
    save_profile(profile(), path)
    held = head(path)
    assert callable(mend)
    mend(held)
    with safe_open(path, framework="numpy") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    path.write_bytes(save(arrays, metadata={"quant": json.dumps(held)}))

    said = refused(path)
    assert said.startswith(f"{path}: not a readable profile: ")
    assert said.endswith(". Profile again.")


@pytest.mark.parametrize("text", ["{", "[]", "3", "null"])
def test_a_head_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p"
    path.write_bytes(save({}, metadata={"quant": text}))

    assert refused(path).startswith(f"{path}: not a readable profile: ")


@pytest.mark.parametrize(
    ("field", "what", "mend"),
    [
        ("graph", "another graph", "the same model"),
        ("preprocess", "another preprocessing", "the same --size, --mean, --std and the rest"),
        ("settings", "another version of the profiler", "this version"),
    ],
)
def test_a_profile_of_something_else_is_refused_with_what_changed(
    field: str, what: str, mend: str
) -> None:
    """A range of another network is a wrong number that nobody sees."""
    origin = {"graph": "0123456789abcdef", "preprocess": "", "settings": "s"}
    mine = Profile(tensors={}, provenance=Provenance(**origin, data=0, samples=1))
    its = Profile(
        tensors={}, provenance=Provenance(**(origin | {field: "f" * 64}), data=0, samples=1)
    )
    short = origin[field][:12] or "none"

    mine.must_match(**origin)
    with pytest.raises(InputError) as caught:
        mine.must_match(place="p.bin", **{field: "f" * 64})
    assert str(caught.value) == (
        f"p.bin: it was made with {what} (fingerprint {short}, wanted {'f' * 12}). "
        f"Profile again with {mend}."
    )
    with pytest.raises(InputError) as caught:
        mine + its
    assert str(caught.value) == (
        f"profile: it was made with {what} (fingerprint {'f' * 12}, wanted {short}). "
        f"Profile again with {mend}."
    )

"""`quant select` as a person types it: a list that is read back, and what is said of every sample."""

import csv
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from PIL import Image

from quant.cli.main import main
from tests.models import conv_relu_net, image, model, weights


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run the command line and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["quant", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def picture(rng: np.random.Generator) -> np.ndarray:
    """Return a smooth picture, as photographs are: few frequencies, 64 x 64."""
    at = np.linspace(0, 1, 64)
    waves = [
        np.sin(2 * np.pi * (rng.integers(0, 3) * at[:, None] + rng.integers(0, 3) * at + p))
        for p in rng.uniform(size=9)
    ]
    planes = [sum(waves[i : i + 3]) * rng.uniform(8, 30) + rng.uniform(80, 170) for i in (0, 3, 6)]
    return np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model and 60 pictures, three copies, one JPEG, one noise, one broken."""
    folder = tmp_path_factory.mktemp("select")
    onnx.save(conv_relu_net(), folder / "net.onnx")
    pool = folder / "pool"
    pool.mkdir()
    rng = np.random.default_rng(3)
    for i in range(60):
        Image.fromarray(picture(rng)).save(pool / f"{i:02d}.png")
    first = Image.open(pool / "00.png")
    first.save(pool / "copy.png")
    Image.open(pool / "07.png").save(pool / "copy7.bmp")
    first.save(pool / "again.jpg", quality=80)
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((16, 16), 0).save(pool / "noise.png")
    (pool / "broken.png").write_bytes(b"nothing")
    return folder


def words(place: Path, out: Path, *more: object) -> list[object]:
    flags = ["--size", "16x16", "--mean", "127", "--std", "60"]
    source = ["--model", place / "net.onnx", "--data", place / "pool"]
    return ["select", *source, *flags, "--out", out, "--samples", 20, *more]


def read(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["sample"]: row for row in csv.DictReader(stream)}


def test_a_choice_and_all_that_is_said_of_the_pool(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list, the table, the numbers and the words agree."""
    out = place / "out" / "chosen.txt"
    assert call(monkeypatch, *words(place, out)) == 0
    said = capsys.readouterr()
    listed = out.read_text(encoding="utf-8").split()
    rows, facts = read(out.with_suffix(".csv")), json.loads(out.with_suffix(".json").read_text())

    assert said.out.startswith(f"{out}: 20 of 64 samples by coverage\n")
    assert "'noise.png' (" in said.out
    assert "2 exact, 1 near; none is chosen" in said.out
    assert [Path(line).name for line in listed] == facts["chosen"]
    assert all(line.startswith("../pool/") for line in listed)
    assert facts["unreadable"] == [
        {"sample": "broken.png", "reason": "not an image that Pillow reads"}
    ]
    assert len(rows) == facts["pool"] == 64
    order = sorted((int(r["chosen"]), k) for k, r in rows.items() if r["chosen"])
    assert [key for _, key in order] == facts["chosen"]
    copies = {k: (r["duplicate_of"], r["duplicate"]) for k, r in rows.items() if r["duplicate"]}
    assert copies == {
        "again.jpg": ("00.png", "near"),
        "copy.png": ("00.png", "exact"),
        "copy7.bmp": ("07.png", "exact"),
    } or copies == {
        "00.png": ("again.jpg", "near"),
        "copy.png": ("again.jpg", "near"),
        "copy7.bmp": ("07.png", "exact"),
    }
    odd = [row["sample"] for row in facts["out_of_domain"]]
    assert odd[0] == "noise.png"
    assert len(odd) <= 2, "at most one false alarm"
    assert {k for k, r in rows.items() if r["out_of_domain"] == "1"} == set(odd)
    assert not {*odd, *copies} & set(facts["chosen"])
    for key in facts["chosen"]:
        assert float(rows[key]["distance"]) == 0
        assert rows[key]["cluster"] == rows[key]["chosen"]
    assert [s["samples"] for s in facts["sufficiency"]["steps"]] == [8, 16, 20]
    assert facts["sufficiency"]["samples"] == 64 - len(odd), "what is out of domain is left out"


def test_equal_runs_give_equal_bytes_and_the_list_is_taken_back(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `quant profile`, with as many samples as were chosen."""
    for name in ("a", "b"):
        assert call(monkeypatch, *words(place, place / name / "c.txt")) == 0
    for kind in ("txt", "csv", "json", "png", "svg"):
        found = [(place / name / f"c.{kind}").read_bytes() for name in ("a", "b")]
        assert found[0] == found[1], kind
    flags = ["--size", "16x16", "--mean", "127", "--std", "60", "--out", place / "p.safetensors"]
    source = ["--model", place / "net.onnx", "--data", place / "a" / "c.txt"]
    assert call(monkeypatch, "profile", *source, *flags) == 0
    assert "20 samples" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["kmeans", "random"])
def test_other_methods_choose_too_and_a_seed_changes_them(
    place: Path, method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--json is the file of numbers."""
    found = []
    for seed in (0, 1):
        out = place / method / f"{seed}.txt"
        more = ["--method", method, "--seed", seed, "--json"]
        assert call(monkeypatch, *words(place, out, *more)) == 0
        found.append(json.loads(capsys.readouterr().out))
        assert found[-1] == json.loads(out.with_suffix(".json").read_text())
        assert len(set(found[-1]["chosen"])) == 20
    assert set(found[0]["chosen"]) != set(found[1]["chosen"])


def test_odd_ones_are_chosen_if_asked_and_a_pool_is_a_part(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A false alarm must not be the end; and 40 000 pictures need not all be read."""
    more = ["--samples", "64", "--keep-odd", "--observer", "minmax", "--target", "tensorrt"]
    assert call(monkeypatch, *words(place, place / "k" / "c.txt", *more)) == 0
    said = capsys.readouterr()
    assert "61 of 64 samples" in said.out
    odd = json.loads((place / "k" / "c.json").read_text())["out_of_domain"]
    assert f"{len(odd)}, {len(odd)} of them chosen: 'noise.png'" in said.out
    assert said.err == (
        "warning: --samples: only 61 of the 64 that were asked for are neither duplicates nor "
        "otherwise left out. Give more data.\n"
    )
    assert "noise.png" in (place / "k" / "c.txt").read_text()
    assert call(monkeypatch, *words(place, place / "k" / "d.txt", "--pool", "30", "--quiet")) == 0
    assert " samples by coverage" in capsys.readouterr().out
    assert json.loads((place / "k" / "d.json").read_text())["pool"] in (29, 30)


def test_two_inputs_and_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A detector with its scale, a sequence with its mask: an .npz of the rows."""
    text = """g (float[N,3,16,16] x, float[N,5] k) => (float[N,10] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1, b1)
        b = Relu(a)
        c = GlobalAveragePool(b)
        d = Flatten(c)
        e = Concat<axis=1>(d, k)
        y = Gemm<transB=1>(e, w2, b2)
    }"""
    onnx.save(
        model(text, weights(1, w1=(8, 3, 3, 3), b1=(8,), w2=(10, 13), b2=(10,))),
        tmp_path / "two.onnx",
    )
    rng = np.random.default_rng(0)
    x, k = image(0, 40), rng.normal(size=(40, 5)).astype(np.float32)
    x[39], k[39] = x[2], k[2]
    np.savez(tmp_path / "all.npz", x=x, k=k)
    source = ["--model", tmp_path / "two.onnx", "--data", tmp_path / "all.npz"]
    out = tmp_path / "few.npz"
    assert call(monkeypatch, "select", *source, "--samples", "12", "--out", out) == 0
    assert "1 exact, 0 near" in capsys.readouterr().out
    with np.load(out) as found:
        rows = [int(np.flatnonzero((x == one).all(axis=(1, 2, 3)))[0]) for one in found["x"]]
        np.testing.assert_array_equal(found["k"], k[rows])
    assert len(set(rows)) == 12
    assert rows == [
        int(key.split("[")[1].rstrip("]"))
        for key in json.loads(out.with_suffix(".json").read_text())["chosen"]
    ]


MISTAKES = [
    (
        ["--samples", "0"],
        "error: --samples: must be 1 or more, saw 0. Raise it.\n",
    ),
    (
        ["--pool", "0"],
        "error: --pool: must be 1 or more, saw 0. Raise it.\n",
    ),
    (
        ["--out", "{place}/pool/c.txt"],
        (
            "error: --out {place}/pool/c.txt: it must not lie among the samples, where its figure "
            "would become one, saw --data '{place}/pool'. Give another folder.\n"
        ),
    ),
    (
        ["--out", "{place}/c.csv"],
        (
            "error: --out {place}/c.csv: a choice is a .txt list of image files or an .npz of "
            "arrays, saw '.csv'. Call it c.txt.\n"
        ),
    ),
    (["--observer", "kl"], "error: No observer is named 'kl'."),
    (["--target", "tensort"], "error: No target is named 'tensort'. Did you mean 'tensorrt'?"),
]


@pytest.mark.parametrize(("given", "said"), MISTAKES)
def test_a_mistake_is_one_sentence(
    place: Path,
    given: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, and nothing is written."""
    out = place / "mistake" / "c.txt"
    more = [word.format(place=place) for word in given]
    assert call(monkeypatch, *words(place, out, *more)) == 2
    assert capsys.readouterr().err.startswith(said.format(place=place))
    assert not (place / "mistake").exists()


def test_a_network_that_answers_nan_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to choose from."""
    onnx.save(conv_relu_net(), tmp_path / "net.onnx")
    x = image(0, 12)
    x[:, 0, 0, 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    source = ["--model", tmp_path / "net.onnx", "--data", tmp_path / "x.npy"]
    code = call(monkeypatch, "select", *source, "--out", tmp_path / "few.npz")
    spoken = SimpleNamespace(code=code, err=capsys.readouterr().err)

    assert spoken.code == 2
    assert spoken.err == (
        f"error: --data {tmp_path}/x.npy: no sample may be chosen: 12 of 12 make activations that "
        "are not finite. Mend the model or the data.\n"
    )

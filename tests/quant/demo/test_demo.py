"""What ships for `quant demo`: whole, small, right, and made by the committed script."""

import csv
import io
import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from quant import demo
from quant.common.errors import InputError
from quant.demo import DemoFiles, train, unpack
from quant.preprocess.image_to_tensor import Preprocess

PACKAGE = Path(demo.__file__).parent
HELD_OUT = 500
MEAN, STD = 78.0, 96.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    """Return the demo's files, unpacked."""
    return unpack(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def model(files: DemoFiles) -> onnx.ModelProto:
    """Return the demo's model."""
    return onnx.load(files.model)


def labels(files: DemoFiles) -> dict[str, int]:
    """Return the label of every file, in the order of labels.csv."""
    with files.labels.open(newline="", encoding="utf-8") as file:
        return {row["file"]: int(row["label"]) for row in csv.DictReader(file)}


def upscale(image: np.ndarray) -> np.ndarray:
    """Return float64 `[8, 8]` as `[32, 32]`, bilinear with pixel centres at half, in plain numpy."""
    at = (np.arange(32) + 0.5) / 4 - 0.5
    rows = np.stack([np.interp(at, np.arange(8), row) for row in image])
    return np.stack([np.interp(at, np.arange(8), column) for column in rows.T], axis=1)


def tensor(path: Path) -> np.ndarray:
    """Return the model's input for one image, float32 `[3, 32, 32]`."""
    pixels = upscale(np.asarray(Image.open(path), np.float64))
    return np.repeat(((pixels - MEAN) / STD)[None], 3, axis=0).astype(np.float32)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return time of change and bytes of every file below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) for p in paths}


def test_it_is_small() -> None:
    """Everyone who installs the package carries the demo."""
    sizes = {path.name: path.stat().st_size for path in PACKAGE.iterdir() if path.is_file()}

    assert sizes["digits.onnx"] < 500_000
    assert sum(sizes.values()) < 600_000


def test_every_image_has_a_label_and_every_label_an_image(files: DemoFiles) -> None:
    """An image without a label would be counted out of the accuracy, silently."""
    table = labels(files)

    assert len(table) == HELD_OUT
    assert sorted(table) == sorted(path.name for path in files.images.glob("*.png"))
    assert sorted(os.listdir(files.images)) == sorted([*table, "labels.csv"])
    assert min(Counter(table.values()).values()) > 40
    assert set(table.values()) == set(range(10))


def test_images_are_the_last_of_the_digits_pixel_for_pixel(files: DemoFiles) -> None:
    """Real labelled data, and none of what the network was trained on."""
    digits = load_digits()
    table = labels(files)

    for (name, label), image, truth in zip(
        table.items(), digits.images[-HELD_OUT:], digits.target[-HELD_OUT:], strict=True
    ):
        saw = np.asarray(Image.open(files.images / name))
        assert saw.dtype == np.uint8
        np.testing.assert_array_equal(saw, np.floor(image * 255 / 16 + 0.5))
        assert label == truth
    trained_on = {image.tobytes() for image in digits.images[:-HELD_OUT]}
    assert not trained_on & {image.tobytes() for image in digits.images[-HELD_OUT:]}


def test_the_model_reads_the_digits(files: DemoFiles) -> None:
    """Accuracy before and after quantization means something only if it was good before."""
    table = labels(files)
    session = ort.InferenceSession(files.model)
    batch = np.stack([tensor(files.images / name) for name in table])
    (logits,) = session.run(["logits"], {"image": batch})

    hits = int((logits.argmax(1) == np.array(list(table.values()))).sum())
    assert logits.shape == (HELD_OUT, 10)
    assert hits >= 0.97 * HELD_OUT


def test_the_model_has_something_for_every_rule(model: onnx.ModelProto) -> None:
    """Depthwise, residual and concatenating parts, ReLU6, and BatchNorm for preparation to fold."""
    onnx.checker.check_model(model, full_check=True)
    ops = Counter(node.op_type for node in model.graph.node)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    producer = {name: node for node in model.graph.node for name in node.output}
    groups = [
        attribute.i
        for node in model.graph.node
        for attribute in node.attribute
        if attribute.name == "group" and shapes[node.input[1]][:2] == (attribute.i, 1)
    ]
    (add,) = (node for node in model.graph.node if node.op_type == "Add")
    (concat,) = (node for node in model.graph.node if node.op_type == "Concat")

    assert groups == [16, 72, 24]
    assert ops["Conv"] == ops["BatchNormalization"] == 10
    assert ops["Relu"] == 5
    assert ops["Clip"] == 4
    assert ops["GlobalAveragePool"] == ops["Gemm"] == 1
    assert [producer[name].op_type for name in add.input] == ["Relu", "BatchNormalization"]
    assert [producer[name].op_type for name in concat.input] == ["Relu", "Relu"]
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param


def test_unpacking_twice_changes_nothing_and_mends_what_is_broken(tmp_path: Path) -> None:
    """`quant demo` after a killed `quant demo` is the demo."""
    first = unpack(tmp_path)
    before = snapshot(tmp_path)
    assert unpack(tmp_path) == first
    assert snapshot(tmp_path) == before

    first.model.write_bytes(first.model.read_bytes()[:1000])
    first.labels.unlink()
    unpack(tmp_path)
    after = snapshot(tmp_path)

    assert {n: content for n, (_, content) in after.items()} == {
        n: content for n, (_, content) in before.items()
    }
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"digits.onnx", str(Path("images/labels.csv"))}


def test_unpacking_keeps_what_the_user_put_there(tmp_path: Path) -> None:
    """A folder named with --out may hold other work."""
    (tmp_path / "notes.txt").write_text("mine")
    unpack(tmp_path)

    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_unpacking_into_a_file_is_one_sentence(tmp_path: Path) -> None:
    """The mistake is easy: --out names a file."""
    (tmp_path / "out").write_text("")

    with pytest.raises(InputError, match=r"cannot be written: .+\. Choose another --out\.$"):
        unpack(tmp_path / "out")


def test_preprocessing_is_what_the_model_was_trained_with(files: DemoFiles) -> None:
    """One grey level is allowed: Pillow rounds to whole levels after each of its two directions."""
    shipped = Preprocess.from_toml(files.preprocess)

    for path in sorted(files.images.glob("*.png"))[:20]:
        saw = shipped.apply(Image.open(path))
        assert saw.shape == (3, 32, 32)
        assert float(np.abs(saw - tensor(path)).max()) <= (1 + 1e-3) / STD


def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """The archive lies in git: training anew must not change it."""
    _, held_out = train.load_scans()
    for name in ("a.zip", "b.zip"):
        train.pack(held_out, tmp_path / name)
    with (
        zipfile.ZipFile(tmp_path / "a.zip") as made,
        zipfile.ZipFile(PACKAGE / "digits.zip") as old,
    ):
        assert made.namelist() == old.namelist() == sorted(old.namelist())
        assert made.read("labels.csv") == old.read("labels.csv")
        for name in made.namelist()[:-1]:  # another zlib may pack a PNG otherwise: compare pixels
            a, b = (Image.open(io.BytesIO(archive.read(name))) for archive in (made, old))
            assert a.tobytes() == b.tobytes()

    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_the_committed_script_makes_the_shipped_graph(
    tmp_path: Path, files: DemoFiles, model: onnx.ModelProto
) -> None:
    """A network that no script can make again is a riddle. Untrained: only the weights differ."""
    network = train.DigitNet().eval()
    for number, tensor in enumerate(network.state_dict().values()):
        tensor.fill_(number)  # the exporter would merge tensors that are equal
    train.save_onnx(network, tmp_path / "new.onnx")
    made = onnx.load(tmp_path / "new.onnx")

    assert [n.SerializeToString(deterministic=True) for n in made.graph.node] == [
        n.SerializeToString(deterministic=True) for n in model.graph.node
    ]
    assert [(t.name, t.dims) for t in made.graph.initializer] == [
        (t.name, t.dims) for t in model.graph.initializer
    ]
    assert files.preprocess.read_text(encoding="utf-8") == train.PREPROCESS

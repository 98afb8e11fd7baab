"""Trains the demo network and packs its images: `python -m quant.demo.train [--out FOLDER]`.

The images are scikit-learn's copy of the test set of "Optical Recognition of Handwritten Digits"
(E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998, doi:10.24432/C50P49), licence
CC BY 4.0: 1797 grey images of 8 x 8 pixels with values 0 to 16, each with its label. They are
stored as 8-bit PNG, `round(value * 255 / 16)`. The first 1297 train the network; the last 500,
which it never sees, are packed. Nothing is downloaded.

The network is ordinary on purpose: plain, depthwise and pointwise convolutions, a residual and a
concatenating block, BatchNorm, ReLU and ReLU6, global average pooling and a linear head; trained
as such networks are, with nothing done to make it easy or hard to quantize.
"""

__all__ = [
    "DigitNet",
    "Scan",
    "Unit",
    "accuracy",
    "load_scans",
    "main",
    "pack",
    "save_onnx",
    "train",
]

import io
import warnings
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import onnx
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from quant.common.files import atomic, write_text

SEED = 20
EPOCHS = 30
BATCH = 64
HELD_OUT = 500
SIDE = 32
MEAN, STD = 78.0, 96.0  # of the training pixels, to the nearest whole number; 0..255 units

PREPROCESS = f"""\
# Image -> input of digits.onnx, as quant.demo.train fed it in training.
size = [{SIDE}, {SIDE}]
resize = "stretch"
channels = "RGB"
mean = [{MEAN}, {MEAN}, {MEAN}]
std = [{STD}, {STD}, {STD}]
"""


@dataclass(frozen=True, slots=True)
class Scan:
    """One handwritten digit.

    Attributes:
        png: An 8-bit grey PNG of 8 x 8 pixels.
        label: 0 to 9.
    """

    png: bytes
    label: int

    def tensor(self) -> torch.Tensor:
        """Return the network's input, float32 `[3, 32, 32]`, as preprocess.toml says it."""
        image = Image.open(io.BytesIO(self.png)).convert("RGB")
        pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)
        return torch.from_numpy((pixels.transpose(2, 0, 1) - MEAN) / STD)


def load_scans() -> tuple[list[Scan], list[Scan]]:
    """Return the scans to train on, and the last 500, which are held out."""
    digits = load_digits()
    scans = []
    for image, label in zip(digits.images, digits.target, strict=True):
        file = io.BytesIO()
        grey = np.rint(image * 255 / 16).astype(np.uint8)
        Image.fromarray(grey).save(file, "PNG", optimize=True)
        scans.append(Scan(file.getvalue(), int(label)))
    return scans[:-HELD_OUT], scans[-HELD_OUT:]


class Unit(nn.Module):
    """Convolution, BatchNorm and an activation; depthwise where `kernel` > 1 and cin == cout."""

    def __init__(
        self, cin: int, cout: int, kernel: int, act: nn.Module | None = None, stride: int = 1
    ) -> None:
        super().__init__()
        groups = cin if kernel > 1 and cin == cout else 1
        self.conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(cout)
        self.act = act or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the activation."""
        activation: torch.Tensor = self.act(self.norm(self.conv(x)))
        return activation


class DigitNet(nn.Module):
    """Float32 `[N, 3, 32, 32]` to ten logits `[N, 10]`; about 20,000 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Unit(3, 16, 3, nn.ReLU(), stride=2)
        self.depth = Unit(16, 16, 3, nn.ReLU6())
        self.widen = Unit(16, 24, 1, nn.ReLU())
        stages = {  # an inverted residual with a linear bottleneck
            "expand": Unit(24, 72, 1, nn.ReLU6()),
            "depth": Unit(72, 72, 3, nn.ReLU6()),
            "project": Unit(72, 24, 1),
        }
        self.residual = nn.Sequential(OrderedDict(stages))
        self.down = Unit(24, 24, 3, nn.ReLU6(), stride=2)
        self.point = Unit(24, 24, 1, nn.ReLU())
        self.area = Unit(24, 40, 3, nn.ReLU())
        self.mix = Unit(64, 64, 1, nn.ReLU())
        self.head = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = self.widen(self.depth(self.stem(image)))
        x = self.down(x + self.residual(x))
        x = self.mix(torch.cat([self.point(x), self.area(x)], dim=1))
        logits: torch.Tensor = self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


def train(scans: list[Scan]) -> DigitNet:
    """Return the network trained on `scans`, in evaluation mode; same bits on the same machine."""
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    network = DigitNet()
    images = torch.stack([scan.tensor() for scan in scans])
    labels = torch.tensor([scan.label for scan in scans])
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    steps = EPOCHS * (len(scans) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(scans))
        for start in range(0, len(scans) // BATCH * BATCH, BATCH):
            batch = order[start : start + BATCH]
            down, right = (int(shift) for shift in torch.randint(-2, 3, (2,)))
            shifted = torch.roll(images[batch], (down, right), (2, 3))
            loss = functional.cross_entropy(network(shifted), labels[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.eval()


def accuracy(network: DigitNet, scans: list[Scan]) -> float:
    """Return the share of scans whose largest logit is their label."""
    with torch.inference_mode():
        logits = network(torch.stack([scan.tensor() for scan in scans]))
    hits = logits.argmax(1) == torch.tensor([scan.label for scan in scans])
    return float(hits.double().mean())


def save_onnx(network: DigitNet, path: Path) -> None:
    """Write opset 17 with a dynamic batch; BatchNorm stays, so that preparation has work to do."""
    with atomic(path) as scratch:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the newer one starts at opset 18
            torch.onnx.export(
                network,
                (torch.zeros(1, 3, SIDE, SIDE),),
                scratch,
                opset_version=17,
                input_names=["image"],
                output_names=["logits"],
                dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
                training=torch.onnx.TrainingMode.PRESERVE,  # the default would fold BatchNorm
                do_constant_folding=False,
                dynamo=False,
            )
        onnx.checker.check_model(scratch, full_check=True)


def pack(scans: list[Scan], path: Path) -> None:
    """Write `000.png` ... and labels.csv (`file,label`) as one zip, the same bytes every time."""
    files = {f"{number:03}.png": scan.png for number, scan in enumerate(scans)}
    rows = [f"{name},{scan.label}\n" for name, scan in zip(files, scans, strict=True)]
    files["labels.csv"] = "".join(["file,label\n", *rows]).encode()
    with atomic(path) as scratch, zipfile.ZipFile(scratch, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # else the bytes depend on the system
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name], zipfile.ZIP_STORED)  # PNG is compressed already


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(__file__).parent,
    help="Where digits.onnx, digits.zip and preprocess.toml go; default: the package itself.",
)
def main(out: Path) -> None:
    """Train the demo network and write the three files that `quant demo` ships with."""
    training, held_out = load_scans()
    network = train(training)
    save_onnx(network, out / "digits.onnx")
    pack(held_out, out / "digits.zip")
    write_text(out / "preprocess.toml", PREPROCESS)
    for kind, scans in (("training", training), ("held-out", held_out)):
        click.echo(f"top-1 on {len(scans)} {kind} images: {accuracy(network, scans):.2%}")


if __name__ == "__main__":
    main()

"""Make a small ViT that knows digits, as it is trained and with planted outliers, and its samples.

    python benchmarks/vit.py FOLDER

writes `vit.onnx`, `planted.onnx` and `images.npy`, in a minute or two. The images are
scikit-learn's digits at 16 x 16, the network has 6 blocks of 64 channels and 17 tokens. Trained
weights of large transformers, where channels behind each LayerNorm are tens of times as large as the
others, are not at hand everywhere; `planted.onnx` gets them by hand: 3 of 64 channels are multiplied
by 20 to 60 in the LayerNorm and divided in the weights that read them, so that it is the same
function. Measure them, for example with

    quant calibrate --model FOLDER/planted.onnx --data FOLDER/images.npy --samples 128 --holdout 512
    python benchmarks/quality.py FOLDER/planted.onnx --data FOLDER/images.npy --samples 128 --holdout 512
"""

__all__ = ["main"]

import sys

sys.path.append(sys.path.pop(0))  # see profile.py beside this file

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

DIM, HEADS, BLOCKS, EPOCHS = 64, 4, 6, 40
LEARNT = 1200
"""Images that the network learns from; the other 597 come behind them in the file."""


class Attention(nn.Module):
    """Self-attention with one product for q, k and v, as in timm."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)

    def forward(self, x: Any) -> Any:
        """Return what `[N, T, C]` attends to."""
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, HEADS, c // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        share = (q * (c // HEADS) ** -0.5 @ k.transpose(-2, -1)).softmax(-1)
        return self.out((share @ v).transpose(1, 2).reshape(n, t, c))


class Block(nn.Module):
    """Attention and MLP, each behind a LayerNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.attention = nn.LayerNorm(DIM, eps=1e-6), Attention()
        self.second, self.wide = nn.LayerNorm(DIM, eps=1e-6), nn.Linear(DIM, 4 * DIM)
        self.gelu, self.narrow = nn.GELU(), nn.Linear(4 * DIM, DIM)

    def forward(self, x: Any) -> Any:
        """Return the residual stream behind the block."""
        x = x + self.attention(self.first(x))
        return x + self.narrow(self.gelu(self.wide(self.second(x))))


class ViT(nn.Module):
    """Patches of 4 x 4, a class token, and ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, DIM, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, DIM))
        self.place = nn.Parameter(torch.randn(1, 17, DIM) * 0.02)
        self.blocks = nn.Sequential(*[Block() for _ in range(BLOCKS)])
        self.last, self.head = nn.LayerNorm(DIM, eps=1e-6), nn.Linear(DIM, 10)

    def forward(self, x: Any) -> Any:
        """Return the scores of `[N, 1, 16, 16]`."""
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        return self.head(self.last(self.blocks(x))[:, 0])


def images() -> tuple[np.ndarray, np.ndarray]:
    """Return the digits in a seeded order, float32 `[1797, 1, 16, 16]`, and their classes."""
    x, y = load_digits(return_X_y=True)
    large = np.kron(x.reshape(-1, 1, 8, 8) / 16, np.ones((1, 1, 2, 2)))
    order = np.random.default_rng(0).permutation(len(x))
    return ((large - 0.3) / 0.37)[order].astype(np.float32), y[order]


def train(x: np.ndarray, y: np.ndarray) -> ViT:
    """Return a network that learnt from the first images, shifted by up to a pixel."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, pixels, classes = ViT(), torch.tensor(x[:LEARNT]), torch.tensor(y[:LEARNT])
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.05)
    steps = EPOCHS * -(-LEARNT // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for some in torch.randperm(LEARNT).split(64):
            by = torch.randint(-1, 2, (2,)).tolist()
            made = model(torch.roll(pixels[some], tuple(by), (2, 3)))
            loss = nn.functional.cross_entropy(made, classes[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def plant(model: ViT) -> None:
    """Make three channels behind each LayerNorm of a block 20 to 60 times as large, in place."""
    seeded = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for block in model.blocks:
            for norm, reader in ((block.first, block.attention.qkv), (block.second, block.wide)):
                chosen = torch.randperm(DIM, generator=seeded)[:3]
                by = 20 * torch.exp(1.1 * torch.rand(3, generator=seeded))
                norm.weight[chosen] *= by
                norm.bias[chosen] *= by
                reader.weight[:, chosen] /= by


def save(model: ViT, path: Path) -> None:
    """Write a network as the older of torch's exporters does, which needs no further package."""
    axes = {"x": {0: "N"}, "y": {0: "N"}}
    options: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "opset_version": 17}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        one = (torch.zeros(1, 1, 16, 16),)
        torch.onnx.export(model, one, path, dynamic_axes=axes, dynamo=False, **options)


def main() -> int:
    """Train, plant and write."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/vit.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="where the files go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    x, y = images()
    model = train(x, y)
    with torch.no_grad():
        right = model(torch.tensor(x[LEARNT:])).argmax(1).numpy() == y[LEARNT:]
    print(f"top-1 of the {len(right)} images it did not learn from: {right.mean():.4f}")
    np.save(folder / "images.npy", x)
    save(model, folder / "vit.onnx")
    plant(model)
    save(model, folder / "planted.onnx")
    return 0


if __name__ == "__main__":
    sys.exit(main())

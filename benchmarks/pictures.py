"""Pictures out of a case's samples: what is planted into pools whose answer is known."""

__all__ = ["Pictures", "Pixels", "planted", "video"]

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quant.calibration import Data
from quant.calibration.sources.data import Array
from quant.preprocess.image_to_tensor import Preprocess

Pixels = NDArray[np.uint8]
JPEG, SHRUNK = 60, 0.7
"""Quality of what is saved again; the share of its sides that a resized one had meanwhile."""
BOX, FLICKER, NOISE = 0.8, 0.02, 3.0
"""Of a video: the camera's window as a share of the scene, its change of brightness, and the
deviation of its sensor's noise in steps of 255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Made pictures as Data, behind the samples they were made from.

    Attributes:
        name: For messages.
        input: Name of the model's only input, NCHW, float32.
        preprocess: Of the case; its mean and std turn pixels into the input.
        base: The case's own samples.
        kept: Which of them are in.
        made: By key what makes the others' pixels.
    """

    name: str
    input: str
    preprocess: Preprocess
    base: Data
    kept: Sequence[int]
    made: Mapping[str, Callable[[], Pixels]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.kept) + len(self.made)

    def key(self, i: int) -> str:
        """Return the sample's own key, or "kind/number"."""
        rest = i - len(self.kept)
        return self.base.key(self.kept[i]) if rest < 0 else list(self.made)[rest]

    def read(self, i: int) -> dict[str, Array]:
        """Return the input."""
        rest = i - len(self.kept)
        if rest < 0:
            return self.base.read(self.kept[i])
        mean, std = (np.array(v).reshape(-1, 1, 1) for v in self._scale())
        x = self.made[list(self.made)[rest]]().transpose(2, 0, 1)
        return {self.input: ((x - mean) / std).astype(np.float32)}

    def label(self, i: int) -> int | None:
        """Return None."""
        return None

    def _scale(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.preprocess.mean, self.preprocess.std

    def pixels(self, i: int) -> Pixels:
        """Return sample `i` of the base as uint8 `[H, W, C]`."""
        mean, std = (np.array(v).reshape(-1, 1, 1) for v in self._scale())
        x = np.rint(self.base.read(i)[self.input] * std + mean)
        return np.clip(x, 0, 255).astype(np.uint8).transpose(1, 2, 0)


def planted(
    pictures: Pictures, each: int, rng: np.random.Generator
) -> dict[str, Callable[[], Pixels]]:
    """Return what should be flagged, by "kind/number": copies of some, and what does not belong."""
    from sklearn.datasets import load_digits

    digits = load_digits().images
    chosen = rng.permutation(np.array(pictures.kept))[: 5 * each].reshape(5, each)

    def noise(i: int, seed: int) -> Pixels:
        shape = pictures.pixels(i).shape
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    def digit(i: int, seed: int) -> Pixels:
        height, width, channels = pictures.pixels(i).shape
        image = Image.fromarray((digits[seed] * 15.9).astype(np.uint8)).resize((width, height))
        return np.repeat(np.asarray(image)[:, :, None], channels, axis=2)

    kinds: dict[str, Callable[[int, int], Pixels]] = {
        "exact copy": lambda i, _: pictures.pixels(i),
        "JPEG again": lambda i, _: _saved(pictures.pixels(i)),
        "resized": lambda i, _: _resized(pictures.pixels(i)),
        "noise": noise,
        "black": lambda i, _: np.zeros_like(pictures.pixels(i)),
        "digits": digit,
        "inverted": lambda i, _: 255 - pictures.pixels(i),
        "RGB as BGR": lambda i, _: np.ascontiguousarray(pictures.pixels(i)[:, :, ::-1]),
    }
    rows = dict(zip(kinds, [*chosen[:3], *[chosen[0]] * 3, *chosen[3:]], strict=True))
    return {
        f"{kind}/{n}": (lambda make=make, i=int(i), n=n: make(i, n))
        for kind, make in kinds.items()
        for n, i in enumerate(rows[kind])
    }


def _saved(x: Pixels) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(x).save(stream, "JPEG", quality=JPEG)
    return np.asarray(Image.open(stream))


def _resized(x: Pixels) -> Pixels:
    image = Image.fromarray(x)
    size = (round(image.width * SHRUNK), round(image.height * SHRUNK))
    small = image.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(small.resize(image.size, Image.Resampling.BICUBIC))


def video(
    pictures: Pictures, scenes: Sequence[int], frames: int
) -> dict[str, Callable[[], Pixels]]:
    """Return the frames of a camera that pans slowly over each of some pictures."""

    def frame(scene: int, t: int) -> Pixels:
        x = pictures.pixels(scene)
        height, width = (round(BOX * s) for s in x.shape[:2])
        share = t / max(frames - 1, 1)
        top, left = (round(share * (s - b)) for s, b in zip(x.shape, (height, width), strict=False))
        image = Image.fromarray(x[top : top + height, left : left + width])
        seen = np.asarray(image.resize((x.shape[1], x.shape[0])), np.float64)
        seen = seen * (1 + FLICKER * np.sin(t))
        rng = np.random.default_rng([scene, t])
        return np.clip(seen + rng.normal(0, NOISE, seen.shape), 0, 255).astype(np.uint8)

    return {f"video {s}/{t}": (lambda s=s, t=t: frame(s, t)) for s in scenes for t in range(frames)}

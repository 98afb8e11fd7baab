"""How each input of the network is fed to the mapper: as pictures, or as tensors."""

__all__ = [
    "MAX_SAMPLES",
    "MAX_SIDE",
    "MIN_SAMPLES",
    "MIN_SIDE",
    "NO_NORM",
    "Feed",
    "Norm",
    "choose_feeds",
    "choose_norm",
    "pixels_of",
    "recover_pixels",
]

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.export.caffe.network.shapes import shape_text
from quant.export.nnie.files.mapper_cfg import SCALE_ABOVE
from quant.graph.prepared_graph import Graph
from quant.target.deployment import Deployment

TOLERANCE = 1e-3
"""Largest error in steps of a pixel; float32 errs by 1e-5, values between pixels by far more."""


def recover_pixels(
    tensor: NDArray[Any], mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.uint8] | None:
    """Return the pixels from which `(pixel - mean) / std` was computed, or None if there are none.

    pixel = round(tensor * std + mean), accepted only where normalizing it again gives the tensor
    back: no value differs by more than a thousandth of a pixel's step.

    Args:
        tensor: float32 `[C, H, W]`.
        mean: One number per channel, in 0..255 units, in the tensor's order.
        std: One number per channel, greater than 0, like `mean`.

    Returns:
        uint8 `[C, H, W]`; None also where a value is not finite or not in 0..255.
    """
    shape = (len(mean), 1, 1)
    if tensor.ndim != 3 or len(tensor) != len(mean) or not np.all(np.isfinite(tensor)):
        return None
    middle, spread = np.reshape(mean, shape), np.reshape(std, shape)
    pixels = np.rint(tensor.astype(np.float64) * spread + middle)
    if pixels.size == 0 or pixels.min() < 0 or pixels.max() > 255:
        return None
    normalized = ((pixels - middle) / spread).astype(np.float32)
    error = np.abs(normalized.astype(np.float64) - tensor) * spread
    return pixels.astype(np.uint8) if error.max() <= TOLERANCE else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """`(x - mean) * data_scale` of the mapper, and the factors that remain for the first layer.

    Attributes:
        norm_type: 0: x; 2: x - mean; 3: x * data_scale; 5: (x - mean) * data_scale.
        mean: One number per channel, in the order of the model's tensor.
        data_scale: One number for all channels, above 1/4096; 1.0 for norm_type 0 and 2.
        factors: float64 `[C]`, in the order of the model's tensor, with
            tensor[c] = factors[c] * (x[c] - mean[c]) * data_scale. None: all are 1.
    """

    norm_type: int
    mean: tuple[float, ...] = ()
    data_scale: float = 1.0
    factors: NDArray[np.float64] | None = None


NO_NORM = Norm(norm_type=0)
"""The normalization of an input that is no image: none."""


def choose_norm(mean: Sequence[float], std: Sequence[float]) -> Norm:
    """Return how `(x - mean) / std` is split between the mapper and the first layer.

    `data_scale` is one number: where the std differ by channel, it comes from the middle std, and
    the quotients go into the first layer's weights; so does a scale of 1/4096 or less. The mean always
    stays in the mean file: in the bias it would change the border that zero padding makes.

    Args:
        mean: One number per channel, in 0..255 units.
        std: One number per channel, greater than 0, like `mean`.

    >>> choose_norm([127.5], [128.0])
    Norm(norm_type=5, mean=(127.5,), data_scale=0.0078125, factors=None)
    """
    shift = tuple(float(m) for m in mean)
    spread = np.asarray(std, np.float64)
    middle = float(np.sort(spread)[len(spread) // 2])
    scale = 1.0 / middle
    factors: NDArray[Any] | None = None if np.all(spread == middle) else middle / spread
    if scale <= SCALE_ABOVE:
        scale, factors = 1.0, 1.0 / spread
    subtracts, scaled = any(shift), scale != 1.0
    norm_type = {(0, 0): 0, (1, 0): 2, (0, 1): 3, (1, 1): 5}[int(subtracts), int(scaled)]
    return Norm(norm_type=norm_type, mean=shift, data_scale=scale, factors=factors)


MIN_SAMPLES, MAX_SAMPLES = 20, 50
"""Number of calibration samples that the HiSVP development guide asks for."""


MIN_SIDE, MAX_SIDE = 8, 4096
"""Rows and columns of an image input: HiSVP_API, section on blobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One input of the network.

    Attributes:
        input: Its name in the graph.
        shape: Shape of one sample of the model, without batch axis: (3, 224, 224).
        picture: The input is fed as 8-bit pictures; else as float tensors.
        norm: How the mapper normalizes a pixel.
        swapped: The network sees the channels in the reverse order of the model's tensor.
    """

    input: str
    shape: tuple[int, ...]
    picture: bool
    norm: Norm
    swapped: bool

    @property
    def means(self) -> tuple[float, ...]:
        """The lines of the mean file: one number per channel, in the order of the Caffe network."""
        return self.norm.mean[::-1] if self.swapped else self.norm.mean


def choose_feeds(graph: Graph, deployment: Deployment) -> list[Feed]:
    """Return how each input is fed, in the order of the graph.

    An input takes pictures when the preprocessing makes tensors of 1 or 3 channels, 8 to 4096 rows
    and columns, and every calibration tensor is one of 8-bit pixels. A model trained on RGB is fed
    BGR, and the channels of its first layer are reversed: the two published readings of `RGB_order`
    agree only on BGR.

    Raises:
        InputError: There are no samples, or they differ in shape.
    """
    shapes, pictures = _shapes_and_pictures(graph, deployment)
    pixels = deployment.pixels
    rgb = deployment.preprocess is not None and deployment.preprocess.channels == "RGB"
    feeds = []
    for value in graph.inputs:
        name = str(value.name)
        norm = NO_NORM
        if name in pictures and pixels is not None:
            norm = choose_norm(pixels[0].tolist(), pixels[1].tolist())
        feeds.append(
            Feed(
                input=name,
                shape=shapes[name],
                picture=name in pictures,
                norm=norm,
                swapped=rgb and name in pictures,
            )
        )
    return feeds


def _samples(
    deployment: Deployment, count: int
) -> Iterator[tuple[str, Mapping[str, NDArray[Any]]]]:
    return deployment.samples(count) if deployment.samples is not None else iter(())


def _shapes_and_pictures(
    graph: Graph, deployment: Deployment
) -> tuple[dict[str, tuple[int, ...]], set[str]]:
    """Return the shape of every input, and the inputs whose samples are all pictures."""
    pixels, shapes = deployment.pixels, dict[str, tuple[int, ...]]()
    pictures = {str(v.name) for v in graph.inputs} if pixels is not None else set[str]()
    for key, feeds in _samples(deployment, MAX_SAMPLES):
        for name, array in feeds.items():
            if shapes.setdefault(name, array.shape) != array.shape:
                raise InputError(
                    f"{graph.source or graph.name}, sample '{key}': the mapper takes one size, saw "
                    f"{shape_text(array.shape)} after {shape_text(shapes[name])} at input '{name}'. Give "
                    "--size WIDTHxHEIGHT."
                )
            if name in pictures and pixels_of(array, deployment) is None:
                pictures.discard(name)
    if not shapes:
        raise InputError(
            f"{graph.source or graph.name}: the mapper calibrates on {MIN_SAMPLES} to {MAX_SAMPLES} "
            "samples of its own, saw none. Give --data."
        )
    return shapes, pictures


def pixels_of(array: NDArray[Any], deployment: Deployment) -> NDArray[np.uint8] | None:
    """Return the picture behind a calibration tensor, uint8 `[C, H, W]`, or None.

    Args:
        array: float32, `[C, H, W]` or, with layout NHWC, `[H, W, C]`.
        deployment: Holds the preprocessing that made the tensor.
    """
    pixels, preprocess = deployment.pixels, deployment.preprocess
    if pixels is None or preprocess is None or array.ndim != 3:
        return None
    planes = array.transpose(2, 0, 1) if preprocess.layout == "NHWC" else array
    if not all(MIN_SIDE <= d <= MAX_SIDE for d in planes.shape[1:]):
        return None
    return recover_pixels(planes, pixels[0].tolist(), pixels[1].tolist())

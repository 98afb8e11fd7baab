"""What goes into each input of the network on the mapper's side: pictures, or tensors as they are."""

__all__ = [
    "FEWEST",
    "LARGEST",
    "MOST",
    "SMALLEST",
    "Feed",
    "choose_feeds",
    "pixels_of",
]

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.export.nnie.files.nnie_norm import PLAIN, Norm, choose_norm
from quant.export.nnie.files.nnie_pixels import recovered
from quant.graph.prepared_graph import Graph
from quant.target.deployment import Deployment

FEWEST, MOST = 20, 50
"""Calibration pictures that the HiSVP development guide asks for."""

SMALLEST, LARGEST = 8, 4096
"""Rows and columns of an image input: HiSVP_API, section on blobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One input of the network.

    Attributes:
        input: Name in the graph.
        shape: Of one sample of the model, without batch axis: (3, 224, 224).
        picture: Fed as 8-bit pictures; else as float tensors.
        norm: What the mapper does to a pixel.
        swapped: The network sees the channels in the reverse order of the model's tensor.
    """

    input: str
    shape: tuple[int, ...]
    picture: bool
    norm: Norm
    swapped: bool

    @property
    def means(self) -> tuple[float, ...]:
        """The lines of the mean file: a number a channel, in the order the network sees."""
        return self.norm.mean[::-1] if self.swapped else self.norm.mean


def choose_feeds(graph: Graph, deployment: Deployment) -> list[Feed]:
    """Return how each input is fed, in the order of the graph.

    An input takes pictures when the preprocessing makes tensors of 1 or 3 channels, 8 to 4096 rows
    and columns, and every calibration tensor is one of 8-bit pixels. A model trained on RGB
    is fed BGR, and its first layer turned round: the two readings of `RGB_order` that are told
    agree only on BGR.

    Raises:
        InputError: There are no samples, or they differ in shape.
    """
    shapes, pictures = _look(graph, deployment)
    told = deployment.pixels
    rgb = deployment.preprocess is not None and deployment.preprocess.channels == "RGB"
    feeds = []
    for value in graph.inputs:
        name = str(value.name)
        norm = PLAIN
        if name in pictures and told is not None:
            norm = choose_norm(told[0].tolist(), told[1].tolist())
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


def _some(deployment: Deployment, count: int) -> Iterator[tuple[str, Mapping[str, NDArray[Any]]]]:
    return deployment.samples(count) if deployment.samples is not None else iter(())


def _look(graph: Graph, deployment: Deployment) -> tuple[dict[str, tuple[int, ...]], set[str]]:
    """Return the shape of every input, and which of them are pictures, over all samples."""
    told, shapes = deployment.pixels, dict[str, tuple[int, ...]]()
    pictures = {str(v.name) for v in graph.inputs} if told is not None else set[str]()
    for key, feeds in _some(deployment, MOST):
        for name, array in feeds.items():
            if shapes.setdefault(name, array.shape) != array.shape:
                raise InputError(
                    f"{graph.source or graph.name}, sample '{key}': the mapper takes one size, saw "
                    f"{_dims(array.shape)} after {_dims(shapes[name])} at input '{name}'. Give "
                    "--size WIDTHxHEIGHT."
                )
            if name in pictures and pixels_of(array, deployment) is None:
                pictures.discard(name)
    if not shapes:
        raise InputError(
            f"{graph.source or graph.name}: the mapper calibrates on {FEWEST} to {MOST} samples of its own, saw "
            "none. Give --data."
        )
    return shapes, pictures


def pixels_of(array: NDArray[Any], deployment: Deployment) -> NDArray[np.uint8] | None:
    """Return the picture behind a calibration tensor, uint8 `[C, H, W]`, or None.

    Args:
        array: float32, `[C, H, W]` or, with layout NHWC, `[H, W, C]`.
        deployment: Its preprocessing made the tensor.
    """
    told, preprocess = deployment.pixels, deployment.preprocess
    if told is None or preprocess is None or array.ndim != 3:
        return None
    planes = array.transpose(2, 0, 1) if preprocess.layout == "NHWC" else array
    if not all(SMALLEST <= d <= LARGEST for d in planes.shape[1:]):
        return None
    return recovered(planes, told[0].tolist(), told[1].tolist())


def _dims(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))

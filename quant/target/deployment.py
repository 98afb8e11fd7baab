"""Where a network will run: what a target's files depend on besides the graph and the plan."""

__all__ = ["Deployment", "SampleReader", "sample_shapes"]

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quant.graph.prepared_graph import Graph
from quant.preprocess.image_to_tensor import Preprocess
from quant.profile.statistics import Profile

SampleReader: TypeAlias = Callable[[int], Iterator[tuple[str, Mapping[str, NDArray[Any]]]]]
"""`samples(n)` yields the key and the input tensors, without batch axis, of n calibration samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where and how the network will run.

    Attributes:
        preprocess: From an image to the input tensor; None where the inputs are no images.
        profile: Statistics of every activation; None when there is none at hand.
        samples: The calibration samples; None when there is no data at hand.
        versions: By target the version or the chip that its files are for, where it is not the
            default of `Target.version`: {"tensorrt": "8.6.1", "atlas": "Ascend310P3"}.
        allow_fallback: Layers that the chip cannot take stay in float, or are cut to the CPU.
    """

    preprocess: Preprocess | None = None
    profile: Profile | None = None
    samples: SampleReader | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    allow_fallback: bool = False

    @property
    def pixels(self) -> NDArray[np.float64] | None:
        """float64 `[2, C]`: mean and std in 0..255 units, channel by channel; None for no images."""
        if self.preprocess is None:
            return None
        fields = self.preprocess.describe()
        return np.array([fields["mean"], fields["std"]], np.float64)


def sample_shapes(graph: Graph, deployment: Deployment) -> dict[str, tuple[int, ...]]:
    """Return the shape of one sample of each input, without batch axis.

    From the first calibration sample; without one, from the graph, and what is open there from
    the preprocessing; 0 for a length that is not known.
    """
    if deployment.samples is not None:
        for _, feeds in deployment.samples(1):
            return {name: array.shape for name, array in feeds.items()}
    tensor_shape = deployment.preprocess.tensor_shape if deployment.preprocess else ()
    shapes = {}
    for value in graph.inputs:
        dims = list(value.shape)[1:] if value.shape is not None else []
        sizes = tensor_shape if len(tensor_shape) == len(dims) else [None] * len(dims)
        shapes[str(value.name)] = tuple(
            d if isinstance(d, int) else m or 0 for d, m in zip(dims, sizes, strict=True)
        )
    return shapes

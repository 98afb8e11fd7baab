"""What is measured: a model, prepared, with its samples; the flags are those of `quant calibrate`."""

__all__ = ["FLAGS", "Subject", "add_flags", "open_subject"]

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant.calibration import Batch, Data, InputSpec, batches, open_data
from quant.calibration.profiling.statistics_graph import micro_batch, profiled_tensors
from quant.graph.prepared_graph import Graph
from quant.load.open_graph import load
from quant.load.prepare import prepare
from quant.preprocess.image_to_tensor import Preprocess

FLAGS: Mapping[str, str] = {
    "size": "WIDTHxHEIGHT of the tensor",
    "resize": "shorter, stretch or letterbox",
    "crop": "center or none",
    "short_side": "pixels of the shorter side before the crop",
    "channels": "RGB, BGR or GRAY",
    "layout": "NCHW or NHWC",
    "mean": "subtracted, in 0..255 units: one value, or one a channel",
    "std": "divided by, in 0..255 units",
    "pad": "pixel value of the letterbox bars",
    "interpolation": "bilinear, bicubic or nearest",
}
"""Fields of Preprocess and their help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A prepared graph and its samples.

    Attributes:
        graph: The prepared graph.
        data: All samples.
        batch: Samples of one profiling run.
        fixed: Whether the model takes no other batch.
    """

    graph: Graph
    data: Data
    batch: int
    fixed: bool

    def stream(self, indices: Sequence[int], size: int) -> Iterator[Batch]:
        """Yield the samples at `indices`, decoded as they are needed; broken ones are skipped."""
        return batches(self.data, indices, size, bad=[], max_bad=0.05)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the preprocessing flags."""
    group = parser.add_argument_group("preprocessing, as in quant calibrate")
    for name, words in FLAGS.items():
        group.add_argument(f"--{name.replace('_', '-')}", metavar="X", help=words)


def open_subject(model: str, data: str, flags: Mapping[str, str | None]) -> Subject:
    """Return a model and its data; raises QuantError where they do not fit."""
    graph = prepare(load(model), Path(model).stem, model)
    inputs = [
        InputSpec(
            name=str(value.name),
            dtype=np.dtype(value.dtype.numpy() if value.dtype is not None else np.float32),
            shape=tuple(d if isinstance(d, int) else None for d in value.shape or ()),
        )
        for value in graph.inputs
    ]
    shape = graph.inputs[0].shape
    return Subject(
        graph=graph,
        data=open_data(data, inputs, Preprocess.from_flags(None, **flags)),
        batch=micro_batch(graph, profiled_tensors(graph)),
        fixed=shape is not None and len(shape) > 0 and isinstance(shape[0], int),
    )

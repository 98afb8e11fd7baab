"""Features of each sample: what the network computes from it, taken while it is being profiled.

A few depths of the network, the extremes of every tensor, the input's own means and extremes, and
a thumbnail of the input: a few thousand numbers a sample, so that ten thousand samples fit memory.
"""

__all__ = ["FeatureHook", "Features", "thumbnails"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.calibration.profiling.statistics_graph import TensorStatistics
from quant.calibration.sources.data import Array
from quant.compare.batch import Batch

F32 = NDArray[np.float32]

DEPTHS = (0.25, 0.5, 0.75, 1.0)
"""Where in the network its activations are taken, from the first (0) to the last hidden one (1)."""
MAX_CHANNELS = 256
"""Channels of one depth at the most; a wider one is strided."""
MAX_TENSORS = 256
"""Tensors whose extremes are taken, at the most."""
MIN_CHANNELS = 8
"""Channels below which an activation says too little to be a depth."""
THUMBNAIL_SIDE = 16
"""Pixels along a side of a thumbnail."""
MAX_PLANES = 4
"""Channels of a thumbnail at the most; more are strided."""
FLAT_ELEMENTS = 768
"""Elements that stand for an input which is no picture, at even distances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """One row for each sample, in the order of reading.

    Attributes:
        keys: The keys of the samples.
        digests: SHA-256 of each sample's input tensors, as an integer.
        groups: By name float32 `[samples, columns]`: "input", "depth <tensor>", "ranges". A value
            that is not finite stays so.
        thumbnails: float32 `[samples, pixels]`: each input at 16 x 16 pixels by the mean of what
            falls into one, or 768 of its elements where it is no picture.
    """

    keys: tuple[str, ...]
    digests: tuple[int, ...]
    groups: Mapping[str, F32]
    thumbnails: F32

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Whether every feature of a sample is finite, bool `[samples]`."""
        rows = [np.isfinite(x).all(axis=1) for x in (*self.groups.values(), self.thumbnails)]
        finite: NDArray[np.bool_] = np.logical_and.reduce(rows)
        return finite


class FeatureHook:
    """Collects Features as the hook of a profiling run.

    Args:
        inputs: Names of the graph's inputs.
        outputs: Names of its outputs; they are no depth where anything else is.
    """

    def __init__(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self._inputs, self._outputs = frozenset(inputs), frozenset(outputs)
        self._keys: list[str] = []
        self._digests: list[int] = []
        self._rows: dict[str, list[F32]] = {}
        self._thumbnails: list[F32] = []
        self._depths: list[TensorStatistics] | None = None

    def add(
        self, tensors: Sequence[TensorStatistics], batch: Batch, low: F32, high: F32, mean: F32
    ) -> None:
        """Add the rows of one run; they are copied, so that the run's own memory is freed."""
        if self._depths is None:
            self._depths = self._chosen(tensors)
        self._keys += batch.keys
        self._digests += batch.digests
        fed = [tensor for tensor in tensors if tensor.tensor in self._inputs]
        for name, parts in (
            ("input", [x[:, _columns(t)] for t in fed for x in (mean, low, high)]),
            ("ranges", _ranges(tensors, low, high)),
            *(
                (f"depth {tensor.tensor}", [x[:, _columns(tensor)] for x in (mean, high)])
                for tensor in self._depths
            ),
        ):
            if parts:
                self._rows.setdefault(name, []).append(np.concatenate(parts, axis=1))
        self._thumbnails.append(batch.samples(thumbnails(batch.feeds)))

    def _chosen(self, tensors: Sequence[TensorStatistics]) -> list[TensorStatistics]:
        """Return the tensors at DEPTHS among hidden activations with fixed channels."""
        wide = [t for t in tensors if t.per_channel and t.channels >= MIN_CHANNELS]
        wide = [t for t in wide if t.tensor not in self._inputs]
        hidden = [t for t in wide if t.tensor not in self._outputs] or wide
        if not hidden:
            return []
        positions = dict.fromkeys(round(share * (len(hidden) - 1)) for share in DEPTHS)
        return [hidden[i] for i in positions]

    def result(self) -> Features:
        """Return the features of all samples; a column that is finite in few samples is left out.

        The scores that attention masks out are -inf in every sample, and that tells nothing.
        """
        columns = {name: np.concatenate(rows) for name, rows in self._rows.items()}
        return Features(
            keys=tuple(self._keys),
            digests=tuple(self._digests),
            groups={n: x[:, np.isfinite(x).mean(axis=0) >= 0.5] for n, x in columns.items()},
            thumbnails=np.concatenate(self._thumbnails or [np.zeros((0, 0), np.float32)]),
        )


def _columns(tensor: TensorStatistics) -> slice:
    step = -(-tensor.channels // MAX_CHANNELS)
    return slice(tensor.start, tensor.start + tensor.channels, step)


def _ranges(tensors: Sequence[TensorStatistics], low: F32, high: F32) -> list[F32]:
    """Return each sample's extremes of whole tensors, `[samples, tensors]` twice."""
    starts = [t.start for t in tensors if t.channels]
    step = -(-len(starts) // MAX_TENSORS)
    ends = [np.minimum.reduceat(low, starts, axis=1), np.maximum.reduceat(high, starts, axis=1)]
    return [x[:, ::step] for x in ends]


def thumbnails(feeds: Mapping[str, Array]) -> F32:
    """Return float32 `[rows, pixels]`, the inputs of a batch made small, side by side by name."""
    return np.concatenate([_small(np.asarray(feeds[n])) for n in sorted(feeds)], axis=1)


def _small(x: Array) -> F32:
    """Return one input made small: `[rows, 16 * 16 * channels]` for pictures."""
    if x.ndim != 4:
        flat = x.reshape(len(x), -1) if x.ndim else x.reshape(1, 1)
        positions = np.arange(FLAT_ELEMENTS) * flat.shape[1] // FLAT_ELEMENTS
        return (
            flat[:, positions].astype(np.float32)
            if flat.size
            else np.zeros((len(x), 0), np.float32)
        )
    last = x.shape[3] <= MAX_PLANES < x.shape[1]
    planes = x.transpose(0, 3, 1, 2) if last else x[:, :: -(-x.shape[1] // MAX_PLANES)]
    planes = planes.astype(np.float32, copy=False)
    for axis in (2, 3):
        planes = _shrunk(planes, axis)
    return np.asarray(planes, np.float32).reshape(len(x), -1)


def _shrunk(x: F32, axis: int) -> F32:
    """Return an axis cut into THUMBNAIL_SIDE parts, the mean of each; a shorter axis repeats elements."""
    size = x.shape[axis]
    positions = np.arange(THUMBNAIL_SIDE + 1) * size // THUMBNAIL_SIDE
    if size < THUMBNAIL_SIDE:
        return np.asarray(np.take(x, positions[:-1], axis=axis), np.float32)
    sums = np.add.reduceat(x, positions[:-1], axis=axis)
    shape = [1] * x.ndim
    shape[axis] = THUMBNAIL_SIDE
    return np.asarray(sums / np.diff(positions).astype(np.float32).reshape(shape), np.float32)

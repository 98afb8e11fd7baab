"""SmoothQuant's factors of a place's channels, with the exponent that serves its readers best."""

__all__ = ["ALPHAS", "ReaderOnGrids", "ReaderStatistics", "factors", "reader_statistics"]

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.choose.weight_grids import weight_range
from quant.compare.float_reference import FloatReference
from quant.graph.layers import data_input, weight_axis
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session
from quant.improve.channel_routes import Reader
from quant.plan.tensor_plans import Plan
from quant.target.table import Target

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

ALPHAS = (0.5, 0.65, 0.8)
"""Xiao et al. take 0.5 for most networks, and 0.75 and more where outliers are larger."""

ROWS = 512
"""Rows of a layer's input on which its error is measured."""

MAX_FACTOR = 1e3
"""Largest factor s, and the inverse of the smallest."""

MIN_GAIN = 0.9
"""Share of the error without smoothing above which a place is left as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStatistics:
    """What the samples show of a layer's input.

    Attributes:
        low: float32 `[K]`, the least of each channel over all samples.
        high: float32 `[K]`, the greatest.
        rows: float32 `[R, K]`, some of them.
    """

    low: F32
    high: F32
    rows: F32


def reader_statistics(
    graph: Graph, readers: Sequence[Reader], reference: FloatReference
) -> dict[str, ReaderStatistics]:
    """Return what the samples show of each reader's input, by the tensor's name.

    A profile has the extremes of channels along one axis of a tensor alone, and in a network with
    windows or with the channels last that is another one.
    """
    axes = {r.tensor: 1 if r.node.op_type == "Conv" else -1 for r in readers}
    session = open_session(graph.with_outputs(list(axes)), threads=reference.threads)
    rows_of_batch = -(-ROWS // max(len(reference.batches), 1))
    statistics: dict[str, ReaderStatistics] = {}
    for batch in reference.batches:
        arrays = session.run(list(axes), dict(batch.feeds))
        for (name, axis), array in zip(axes.items(), arrays, strict=True):
            rows = np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])
            some = rows[:: max(1, len(rows) // rows_of_batch)][:rows_of_batch]
            new = ReaderStatistics(low=rows.min(axis=0), high=rows.max(axis=0), rows=some)
            statistics[name] = _both(statistics[name], new) if name in statistics else new
    return statistics


def _both(a: ReaderStatistics, b: ReaderStatistics) -> ReaderStatistics:
    return ReaderStatistics(
        low=np.minimum(a.low, b.low),
        high=np.maximum(a.high, b.high),
        rows=np.concatenate([a.rows, b.rows]),
    )


def factors(readers: Sequence["ReaderOnGrids"], stuck: Collection[int], count: int) -> F64 | None:
    """Return float64 `[C]`, s of each channel; None where no exponent helps.

    The error of an exponent is that of the outputs of the layers that read, on grids, over their
    power, summed over the layers. The geometric mean of s is 1, so that numbers keep their size.

    Args:
        readers: All layers that read the channels.
        stuck: Numbers of channels that keep s = 1.
        count: How many channels there are.
    """
    peaks, weights = np.zeros(count), np.zeros(count)
    for reader in readers:
        statistics = reader.statistics
        top = np.maximum(np.abs(statistics.low), np.abs(statistics.high)).astype(np.float64)
        np.maximum.at(peaks, reader.ids, top)
        np.maximum.at(weights, reader.ids, np.abs(reader.matrix).max(axis=1))
    live = (peaks > 0) & (weights > 0) & np.isfinite(peaks)
    live[list(stuck)] = False
    if np.count_nonzero(live) < 2:
        return None
    best, least = None, MIN_GAIN * sum(reader.error(np.ones(count)) for reader in readers)
    for alpha in ALPHAS:
        s = np.ones(count)
        logs = alpha * np.log(peaks[live]) - (1 - alpha) * np.log(weights[live])
        s[live] = np.clip(np.exp(logs - logs.mean()), 1 / MAX_FACTOR, MAX_FACTOR)
        error = sum(reader.error(s) for reader in readers)
        if error < least:
            best, least = s, error
    return best


class ReaderOnGrids:
    """One reader on its grids: how much its output errs for factors on the channels.

    Attributes:
        ids: int64 `[K]`, the channel of each of its inputs.
        statistics: Those of its input.
        matrix: float32 `[K, M]`, its weight.

    Args:
        graph: The prepared graph.
        plan: The graph's plan: the precision of the reader.
        target: The table.
        reader: The layer.
        statistics: Those of its input.
    """

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        target: Target,
        reader: Reader,
        statistics: ReaderStatistics,
    ) -> None:
        node = reader.node
        self.ids, self.statistics = reader.ids, statistics
        layer = plan.layers.get(str(node.name))
        self.formats = target.simulated_formats.get(layer.precision) if layer is not None else None
        array = graph.array(str(data_input(node, 1).name)).astype(np.float32)
        across = node.op_type == "Conv" or node.attributes.get_int("transB", 0) == 1
        self.matrix: F32 = array.reshape(len(array), -1).T if across else array
        self.one_scale = node.op_type in target.per_tensor_ops or weight_axis(node) is None
        self.exact = statistics.rows @ self.matrix
        self.power = max(float(np.square(self.exact, dtype=np.float64).sum()), 1e-30)

    def error(self, s: F64) -> float:
        """Return the noise of the output over its power, with input and weight on their grids."""
        if self.formats is None:
            return 0.0
        by = s[self.ids].astype(np.float32)
        activation, weight = self.formats
        low, high = (
            float((self.statistics.low / by).min()),
            float((self.statistics.high / by).max()),
        )
        x = activation.fake_quantize(self.statistics.rows / by, activation.parameters(low, high))
        number = weight.with_axis(None if self.one_scale else 1)
        moved = self.matrix * by[:, None]
        w = number.fake_quantize(moved, weight_range(moved, number))
        noise = np.square(x @ w - self.exact, dtype=np.float64).sum()
        return float(noise) / self.power

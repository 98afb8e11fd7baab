"""Smooth factors: s for each channel of a place, with the exponent that serves its readers best."""

__all__ = ["ALPHAS", "ReaderStatistics", "factors", "reader_statistics"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.choose.weight_grids import weight_range
from quant.compare.batch import Batch
from quant.graph.layers import weight_axis
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session
from quant.improve.channel_routes import Reader, Route
from quant.plan.tensor_plans import Plan
from quant.target.table import Target

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

ALPHAS = (0.5, 0.65, 0.8)
"""Xiao et al. take 0.5 for most networks, and 0.75 and more where outliers are larger."""

ROWS = 512
"""Rows of a layer's input on which its error is measured."""

WIDEST = 1e3
"""Of s, either way."""

ENOUGH = 0.9
"""Of the error without smoothing: what gains less is left as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStatistics:
    """What was seen of a layer's input.

    Attributes:
        low: float32 `[K]`, the least of each channel over all samples.
        high: float32 `[K]`, the greatest.
        rows: float32 `[R, K]`, some of them.
    """

    low: F32
    high: F32
    rows: F32


def reader_statistics(
    graph: Graph, readers: Sequence[Reader], samples: Sequence[Batch], threads: int = 0
) -> dict[str, ReaderStatistics]:
    """Return what the samples show of each reader's input, by the tensor's name.

    A profile has the extremes of channels along one axis of a tensor alone, and in a network with
    windows or with the channels last that is another one.
    """
    axes = {str(r.node.inputs[0].name): 1 if r.node.op_type == "Conv" else -1 for r in readers}  # type: ignore[union-attr]
    session = open_session(graph.with_outputs(list(axes)), threads=threads)
    each = -(-ROWS // max(len(samples), 1))
    found: dict[str, ReaderStatistics] = {}
    for batch in samples:
        made = session.run(list(axes), dict(batch.feeds))
        for (name, axis), array in zip(axes.items(), made, strict=True):
            rows = np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])
            some = rows[:: max(1, len(rows) // each)][:each]
            now = ReaderStatistics(low=rows.min(axis=0), high=rows.max(axis=0), rows=some)
            found[name] = _both(found[name], now) if name in found else now
    return found


def _both(a: ReaderStatistics, b: ReaderStatistics) -> ReaderStatistics:
    return ReaderStatistics(
        low=np.minimum(a.low, b.low),
        high=np.maximum(a.high, b.high),
        rows=np.concatenate([a.rows, b.rows]),
    )


def factors(
    graph: Graph,
    plan: Plan,
    target: Target,
    route: Route,
    count: int,
    seen: Mapping[str, ReaderStatistics],
) -> F64 | None:
    """Return float64 `[C]`, s of each channel; None where no exponent helps.

    The error of an exponent is that of the outputs of the layers that read, on grids, over their
    power, summed over the layers. The geometric mean of s is 1, so that numbers keep their size.
    """
    held = [_Held(graph, plan, target, r, seen[str(r.node.inputs[0].name)]) for r in route.readers]  # type: ignore[union-attr]
    peaks, weights = np.zeros(count), np.zeros(count)
    for one in held:
        top = np.maximum(np.abs(one.seen.low), np.abs(one.seen.high)).astype(np.float64)
        np.maximum.at(peaks, one.ids, top)
        np.maximum.at(weights, one.ids, np.abs(one.matrix).max(axis=1))
    live = (peaks > 0) & (weights > 0) & np.isfinite(peaks)
    live[list(route.stuck)] = False
    if np.count_nonzero(live) < 2:
        return None
    best, least = None, ENOUGH * sum(one.error(np.ones(count)) for one in held)
    for alpha in ALPHAS:
        s = np.ones(count)
        told = alpha * np.log(peaks[live]) - (1 - alpha) * np.log(weights[live])
        s[live] = np.clip(np.exp(told - told.mean()), 1 / WIDEST, WIDEST)
        error = sum(one.error(s) for one in held)
        if error < least:
            best, least = s, error
    return best


class _Held:
    """One reader: its weight as `[K, M]`, what it reads, and its grids."""

    def __init__(
        self, graph: Graph, plan: Plan, target: Target, reader: Reader, seen: ReaderStatistics
    ) -> None:
        node = reader.node
        self.ids, self.seen = reader.ids, seen
        layer = plan.layers.get(str(node.name))
        self.formats = target.simulated_formats.get(layer.precision) if layer is not None else None
        array = graph.array(str(node.inputs[1].name)).astype(np.float32)  # type: ignore[union-attr]
        across = node.op_type == "Conv" or node.attributes.get_int("transB", 0) == 1
        self.matrix: F32 = array.reshape(len(array), -1).T if across else array
        self.one_scale = node.op_type in target.per_tensor_ops or weight_axis(node) is None
        self.exact = seen.rows @ self.matrix
        self.power = max(float(np.square(self.exact, dtype=np.float64).sum()), 1e-30)

    def error(self, s: F64) -> float:
        """Return the noise of the output over its power, with input and weight on their grids."""
        if self.formats is None:
            return 0.0
        by = s[self.ids].astype(np.float32)
        activation, weight = self.formats
        low, high = float((self.seen.low / by).min()), float((self.seen.high / by).max())
        x = activation.fake_quantize(self.seen.rows / by, activation.parameters(low, high))
        number = weight.with_axis(None if self.one_scale else 1)
        moved = self.matrix * by[:, None]
        w = number.fake_quantize(moved, weight_range(moved, number))
        noise = np.square(x @ w - self.exact, dtype=np.float64).sum()
        return float(noise) / self.power

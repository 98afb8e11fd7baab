"""Compare a prepared graph with the model it came from, on the same inputs."""

__all__ = ["LIMIT", "check_parity", "parity"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import UnsupportedError
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session

LIMIT = 1e-4
"""The largest relative difference that reordered float32 sums may make; ours."""

SMALLEST = 1e-2
"""Outputs below this are held to LIMIT * SMALLEST = 1e-6 absolute: a probability of 1e-5 that moves
by 1e-7 is float32 noise of the sums before it."""

Feed = Mapping[str, NDArray[Any]]


def parity(original: ir.Model, graph: Graph, feeds: Sequence[Feed]) -> float:
    """Return the largest over outputs of ``max|a - b| / max(max|a|, SMALLEST)``; unit 1.

    Lower is better.

    `a` is the original's output and `b` the graph's; both maxima run over all feeds, so one dark
    image does not divide by its own zero. Integers and booleans count as numbers.
    0 when equal: NaN against NaN and infinities of one sign are. +inf when shapes differ or exactly
    one of two numbers is not finite. 0 for no feeds.
    """
    return max(_by_output(original, graph, feeds).values(), default=0.0)


def check_parity(
    original: ir.Model, graph: Graph, feeds: Sequence[Feed], limit: float = LIMIT
) -> float:
    """Return the parity.

    Args:
        original: The model as it was loaded.
        graph: Prepared from it.
        feeds: Inputs by name, for both.
        limit: The largest relative difference that is accepted.

    Raises:
        UnsupportedError: It is above `limit`, or NaN.
    """
    differences = _by_output(original, graph, feeds)
    for name, difference in sorted(differences.items(), key=lambda pair: -pair[1]):
        if not difference <= limit:
            raise UnsupportedError(
                f"{graph.source or graph.name}, output '{name}': Preparation must not change the "
                f"numbers, and it differs by {difference:.3g} relative, limit {limit:g}. "
                "Simplify the model before, or export it with opset 17."
            )
    return max(differences.values(), default=0.0)


def _by_output(original: ir.Model, graph: Graph, feeds: Sequence[Feed]) -> dict[str, float]:
    if not feeds:
        return {}
    names = [str(value.name) for value in graph.outputs]
    models = [open_session(original), open_session(graph.model)]
    gap = dict.fromkeys(names, 0.0)
    size = dict.fromkeys(names, 0.0)
    for feed in feeds:
        expected, actual = (session.run(names, dict(feed)) for session in models)
        for name, a, b in zip(names, expected, actual, strict=True):
            gap[name] = max(gap[name], _gap(a, b))
            size[name] = max(size[name], _largest(a))
    return {n: _ratio(gap[n], size[n]) for n in names}


def _ratio(gap: float, size: float) -> float:
    return gap / max(size, SMALLEST)


def _gap(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return max|a - b|, with equal non-finites as 0 and unequal ones as infinity."""
    if a.shape != b.shape:
        return float("inf")
    x, y = a.astype(np.float64), b.astype(np.float64)
    odd = ~(np.isfinite(x) & np.isfinite(y))
    if not np.array_equal(x[odd], y[odd], equal_nan=True):
        return float("inf")
    return float(np.max(np.abs(x[~odd] - y[~odd]), initial=0.0))


def _largest(a: NDArray[Any]) -> float:
    x = np.abs(a.astype(np.float64))
    return float(np.max(x[np.isfinite(x)], initial=0.0))

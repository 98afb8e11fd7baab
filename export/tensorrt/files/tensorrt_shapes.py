"""The least, usual and greatest shape of each dynamic input: an engine is built for a range."""

__all__ = ["BATCHES", "shape_ranges"]

from collections.abc import Mapping

import onnx_ir as ir

from quant.graph.prepared_graph import Graph
from quant.target.deployment import Deployment

BATCHES = (1, 8, 32)
"""Batch sizes of the three shapes. Ours; change them in the scripts."""
GUESS = 224
"""An open axis that neither a sample nor the preprocessing knows."""

Three = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def shape_ranges(
    graph: Graph, deployment: Deployment, names: Mapping[str, str]
) -> dict[str, Three]:
    """Return the three shapes of every input, or {} if none has a dynamic axis.

    The first axis is the batch. Other open axes get their length from a calibration sample, else
    from the preprocessing, else 224.

    Args:
        graph: The prepared graph.
        deployment: Its samples and preprocessing.
        names: New tensor names by old ones.
    """
    inputs = graph.inputs
    if all(isinstance(d, int) for v in inputs for d in (v.shape or ())):
        return {}
    known = _sample(graph, deployment)
    found = {}
    for value in inputs:
        name = str(value.name)
        three = [_shape(value, known.get(name, ()), batch) for batch in BATCHES]
        found[names.get(name, name)] = (three[0], three[1], three[2])
    return found


def _shape(value: ir.Value, known: tuple[int | None, ...], batch: int) -> tuple[int, ...]:
    sizes = list(value.shape or ())
    told = [batch, *known] if len(known) == len(sizes) - 1 else [batch] + [None] * (len(sizes) - 1)
    return tuple(d if isinstance(d, int) else (told[i] or GUESS) for i, d in enumerate(sizes))


def _sample(graph: Graph, deployment: Deployment) -> dict[str, tuple[int | None, ...]]:
    """Return the shapes of one sample by input, without batch axis."""
    if deployment.samples is not None:
        for _, tensors in deployment.samples(1):
            return {name: tuple(array.shape) for name, array in tensors.items()}
    if deployment.preprocess is not None and len(graph.inputs) == 1:
        return {str(graph.inputs[0].name): deployment.preprocess.tensor_shape}
    return {}

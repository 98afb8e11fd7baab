"""The sensitivity of each group: what its quantization alone does at the network's outputs.

The network is float but for one group at one precision; its outputs are compared with float's:

    nmse  sum |y - y'|^2 / sum |y|^2, of each output
    kl    mean over samples of sum_c p_c log(p_c / p'_c), p = softmax of the first output
    else  mean over samples of what a metric loses

The error of several groups together is then taken to be the sum of their own, which is true of
independent noises. Sources: Pandey et al. 2023, "A Practical Mixed Precision Algorithm for
Post-Training Quantization" (SQNR); ModelOpt's auto_quantize (KL).
"""

__all__ = ["QuantizedGroups", "Sensitivity", "group_errors", "sensitivity_of"]

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.compare.batch import Batch
from quant.graph.prepared_graph import Graph, named_values
from quant.metrics.metric import METRICS
from quant.metrics.squared_error import SquaredError
from quant.search.group_errors import GroupErrors, GroupErrorsFile
from quant.search.groups import Group, SharedTensor
from quant.simulate.one_at_a_time import OneAtATime, QuantizedSet
from quant.simulate.quantizer_nodes import grid_of

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedGroups:
    """The groups of a graph, at each precision among which they choose.

    Attributes:
        graph: The prepared graph.
        groups: The groups.
        shared: Tensors that are quantized for all their readers; no group quantizes them itself.
        precisions: How many there are.
        versions: By number of the precision the graph with all groups at it; a precision that is
            not here makes no error.
    """

    graph: Graph
    groups: Sequence[Group]
    shared: Sequence[SharedTensor]
    precisions: int
    versions: Mapping[int, ir.Model]


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The error of each group, and of each tensor that groups share, at each precision, alone.

    Attributes:
        name: "nmse", "kl" or a metric's name.
        error: float64 `[G + T, K]`, what is added up; lower is better.
        nmse: float64 `[G + T, K, O]`, by output.
        shared: The tensors.
        samples: How many it was measured on.
    """

    name: str
    error: F64
    nmse: F64
    shared: tuple[SharedTensor, ...]
    samples: int

    def predicted_db(self, chosen: Sequence[int]) -> float:
        """Return the SQNR in dB at the worst output if errors add up; inf without any."""
        groups, count = len(self.nmse) - len(self.shared), self.nmse.shape[1]
        rows = [self.nmse[g, k] for g, k in zip(range(groups), chosen, strict=False)]
        for number, tensor in enumerate(self.shared, groups):
            read = sorted({chosen[g] for g in tensor.groups})
            rows += [self.nmse[number, k] for k in read if k < count]
        total = float(np.sum(rows, axis=0).max()) if rows else 0.0
        return float(-10 * np.log10(total)) if total > 0 else float("inf")


def group_errors(
    quantized: QuantizedGroups,
    batches: Iterable[Batch],
    name: str = "nmse",
    *,
    file: GroupErrorsFile | None = None,
    threads: int = 0,
) -> GroupErrors:
    """Return what each group alone does at the outputs, at each precision.

    Args:
        quantized: The groups.
        batches: The samples, in the same order each time.
        name: "nmse", "kl" or a metric's name.
        file: Holds what an earlier run measured on the first batches, which is not measured again;
            it is rewritten after each batch.
        threads: Threads inside one operator; 0 for all cores.

    Raises:
        InputError: The outputs are no classes, or a metric needs labels that are not there.
    """
    by_name = {layer.name: layer for layer in quantized.graph.layers}
    order = sorted(quantized.versions)
    spots = [_Spot(g, (k,)) for g in range(len(quantized.groups)) for k in order]
    sets = [
        QuantizedSet(
            layers=tuple(by_name[layer] for layer in quantized.groups[s.row].layers),
            version=order.index(s.ks[0]),
        )
        for s in spots
    ]
    models = {k: quantized.versions[k] for k in order}
    for row, tensor in enumerate(quantized.shared, len(quantized.groups)):
        for ks in _equal_grids(tensor.tensors, models):
            spots.append(_Spot(row, ks))
            sets.append(QuantizedSet(tensors=tensor.tensors, version=order.index(ks[0])))
    table = OneAtATime(quantized.graph, list(models.values()), sets, threads) if sets else None
    earlier = file.read() if file is not None else None
    parts = [] if earlier is None else [earlier]
    measured = 0 if earlier is None else len(earlier.samples)
    shape = (len(quantized.groups) + len(quantized.shared), quantized.precisions)
    for number, batch in enumerate(batches):
        if number < measured or table is None:
            continue
        parts.append(_of_batch(table, spots, batch, name, shape))
        if file is not None:
            file.write(GroupErrors.joined(parts))
    return GroupErrors.joined(parts)


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where the errors of one quantized set belong: a row, and the precisions that have them."""

    row: int
    ks: tuple[int, ...]


def _equal_grids(tensors: Sequence[str], versions: Mapping[int, ir.Model]) -> list[tuple[int, ...]]:
    """Return the precisions at which tensors have grids, those of the same grids together."""
    by_grid: dict[Any, list[int]] = {}
    for k, model in versions.items():
        values = named_values(model)
        nodes = [node for name in tensors for node in grid_of(values[name])]
        grid = tuple(
            (
                node.op_type,
                repr(sorted((a.name, a.value) for a in node.attributes.values())),
                *(v.const_value.tobytes() for v in node.inputs[1:] if v and v.const_value),
            )
            for node in nodes
        )
        if grid:
            by_grid.setdefault(grid, []).append(k)
    return [tuple(ks) for ks in by_grid.values()]


def _of_batch(
    table: OneAtATime,
    spots: Sequence[_Spot],
    batch: Batch,
    name: str,
    shape: tuple[int, int],
) -> GroupErrors:
    outputs, answers = table.answers(batch.feeds)
    expected = [np.asarray(batch.samples(np.atleast_1d(x)), np.float64) for x in outputs]
    loss = _loss(name, dict(zip(table.outputs, expected, strict=True)), batch)
    noise, other = np.zeros((*shape, len(expected))), np.zeros(shape)
    for number, answer in answers:
        got = [np.asarray(batch.samples(np.atleast_1d(x)), np.float64) for x in answer]
        spot = spots[number]
        row = [_noise(x, y) for x, y in zip(expected, got, strict=True)]
        noise[spot.row, list(spot.ks)] = row
        other[spot.row, list(spot.ks)] = loss(dict(zip(table.outputs, got, strict=True)))
    signal = np.array([SquaredError.of(x, x, pairwise=True).signal for x in expected])
    return GroupErrors(
        signal=signal[None],
        noise=noise[None],
        other=other[None],
        samples=np.array([batch.count], np.int64),
    )


def _noise(reference: F64, other: F64) -> float:
    """Return the sum of squares of a difference; inf where it cannot be taken or is not finite."""
    noise = SquaredError.of(reference, other, pairwise=True).noise
    return noise if np.isfinite(noise) else float("inf")


def _loss(
    name: str, expected: Mapping[str, F64], batch: Batch
) -> Callable[[Mapping[str, F64]], float]:
    """Return the function that sums over a batch's samples what an answer loses against float."""
    if name == "nmse":
        return lambda got: 0.0
    first = next(iter(expected.values()))
    if name == "kl":
        if first.ndim != 2 or first.shape[1] < 2:
            raise InputError(
                f"--sensitivity kl: the first output must be [samples, classes], saw "
                f"{list(first.shape)}. Use --sensitivity nmse."
            )
        p = _log_softmax(first)
        return lambda got: float(np.sum(np.exp(p) * (p - _log_softmax(next(iter(got.values()))))))
    metric = METRICS[name]
    labels = None if None in batch.labels or not batch.labels else np.array(batch.labels, np.int64)
    if labels is None and not metric.against_float:
        raise InputError(
            f"--sensitivity {name}: it needs a label for each sample, saw none. Give --labels, or "
            "use --sensitivity nmse."
        )
    reference = expected if metric.against_float else labels
    sign = 1.0 if metric.better == "higher" else -1.0
    base = float(np.sum(metric.scores(expected, reference)))
    return lambda got: sign * (base - float(np.sum(metric.scores(got, reference))))


def _log_softmax(x: F64) -> F64:
    """Return log softmax along the last axis; of outputs that are probabilities already, their log."""
    if np.all(x >= 0) and np.allclose(x.sum(axis=-1), 1, atol=1e-3):
        return np.asarray(np.log(np.maximum(x, 1e-12)))
    top = x - x.max(axis=-1, keepdims=True)
    return np.asarray(top - np.log(np.exp(top).sum(axis=-1, keepdims=True)))


def sensitivity_of(
    errors: GroupErrors, shared: Sequence[SharedTensor] = (), name: str = "nmse"
) -> Sensitivity:
    """Return the errors over all samples together."""
    signal = errors.signal.sum(axis=0)
    noise = errors.noise.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        nmse = np.where(noise > 0, noise / signal, 0.0)
    samples = int(errors.samples.sum())
    error = nmse.mean(axis=2) if name == "nmse" else errors.other.sum(axis=0) / max(samples, 1)
    return Sensitivity(
        name=name, error=np.asarray(error), nmse=nmse, shared=tuple(shared), samples=samples
    )

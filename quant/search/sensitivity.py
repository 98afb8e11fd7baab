"""Sensitivity: what each group's quantization alone does at the network's outputs.

The network is float but for one group at one precision; its outputs are compared with float's:

    nmse  sum |y - y'|^2 / sum |y|^2, of each output
    kl    mean over samples of sum_c p_c log(p_c / p'_c), p = softmax of the first output
    else  mean over samples of what a metric loses

The error of several groups together is then taken for the sum of their own: true for noises that
do not know of each other. Sources: Pandey et al. 2023, "A Practical Mixed Precision Algorithm for
Post-Training Quantization" (SQNR); ModelOpt's auto_quantize (KL).
"""

__all__ = ["GroupErrors", "Sensitivity", "group_errors", "sensitivity_of"]

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.compare.batch import Batch
from quant.graph.layer import Layer
from quant.graph.prepared_graph import Graph, named_values
from quant.metrics.metric import METRICS
from quant.metrics.squared_error import SquaredError
from quant.search.groups import Group, SharedTensor
from quant.simulate.one_at_a_time import OneAtATime, QuantizedSet
from quant.simulate.quantizer_nodes import grid_of

F64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GroupErrors:
    """What was measured, batch by batch in order.

    Attributes:
        signal: float64 `[B, O]`, sum of squares of each float output.
        noise: float64 `[B, G + T, K, O]`, sum of squares of each output's error: for each group, and
            behind them for each tensor that stands between groups.
        other: float64 `[B, G + T, K]`, sum over samples of the divergence, or of the metric's loss.
        samples: int64 `[B]`.
    """

    signal: F64
    noise: F64
    other: F64
    samples: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The error of each group, and of each tensor between groups, at each precision, alone.

    Attributes:
        name: "nmse", "kl" or a metric's name.
        error: float64 `[G + T, K]`, what is added up; lower is better.
        nmse: float64 `[G + T, K, O]`, by output.
        between: The tensors.
        samples: How many it was measured on.
    """

    name: str
    error: F64
    nmse: F64
    between: tuple[SharedTensor, ...]
    samples: int

    def predicted_db(self, chosen: Sequence[int]) -> float:
        """Return the SQNR in dB at the worst output if errors add up; inf without any."""
        groups, count = len(self.nmse) - len(self.between), self.nmse.shape[1]
        rows = [self.nmse[g, k] for g, k in zip(range(groups), chosen, strict=False)]
        for number, tensor in enumerate(self.between, groups):
            read = sorted({chosen[g] for g in tensor.groups})
            rows += [self.nmse[number, k] for k in read if k < count]
        total = float(np.sum(rows, axis=0).max()) if rows else 0.0
        return float(-10 * np.log10(total)) if total > 0 else float("inf")


def group_errors(
    graph: Graph,
    versions: Mapping[int, ir.Model],
    groups: Sequence[Group],
    count: int,
    batches: Iterable[Batch],
    *,
    between: Sequence[SharedTensor] = (),
    name: str = "nmse",
    threads: int = 0,
    done: GroupErrors | None = None,
    keep: Callable[[GroupErrors], None] | None = None,
) -> GroupErrors:
    """Return what each group alone does at the outputs, at each precision.

    Args:
        graph: The prepared graph.
        versions: By number of the precision the graph with all groups at it; a precision that is
            not here makes no error.
        groups: The groups.
        count: How many precisions there are.
        batches: The samples, in the same order each time.
        between: Tensors that are quantized for all their readers; no group quantizes them itself.
        name: "nmse", "kl" or a metric's name.
        threads: Threads inside one operator; 0 for all cores.
        done: What an earlier run has of the first batches: they are passed over.
        keep: Called with all there is after each batch.

    Raises:
        InputError: The outputs are no classes, or a metric needs labels that are not there.
    """
    known = {layer.name: layer for layer in graph.layers}
    order = sorted(versions)
    spots = [_Spot(g, (k,)) for g in range(len(groups)) for k in order]
    turns = [
        QuantizedSet(layers=_members(groups[s.row], known), version=order.index(s.ks[0]))
        for s in spots
    ]
    for row, tensor in enumerate(between, len(groups)):
        for ks in _equal_grids(tensor.tensors, {k: versions[k] for k in order}):
            spots.append(_Spot(row, ks))
            turns.append(QuantizedSet(tensors=tensor.tensors, version=order.index(ks[0])))
    table = OneAtATime(graph, [versions[k] for k in order], turns, threads) if turns else None
    parts = [] if done is None else [done]
    passed = 0 if done is None else len(done.samples)
    for number, batch in enumerate(batches):
        if number < passed or table is None:
            continue
        shape = (len(groups) + len(between), count)
        parts.append(_of_batch(table, spots, batch, name, shape))
        if keep is not None:
            keep(_joined(parts))
    return _joined(parts)


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where the result of a turn belongs: a row, and the precisions that it is of."""

    row: int
    ks: tuple[int, ...]


def _equal_grids(tensors: Sequence[str], versions: Mapping[int, ir.Model]) -> list[tuple[int, ...]]:
    """Return the precisions at which tensors have grids, those of the same grids together."""
    found: dict[Any, list[int]] = {}
    for k, model in versions.items():
        values = named_values(model)
        chain = [node for name in tensors for node in grid_of(values[name])]
        told = [
            (
                node.op_type,
                repr(sorted((a.name, a.value) for a in node.attributes.values())),
                *(v.const_value.tobytes() for v in node.inputs[1:] if v and v.const_value),
            )
            for node in chain
        ]
        if told:
            found.setdefault(tuple(told), []).append(k)
    return [tuple(ks) for ks in found.values()]


def _members(group: Group, known: Mapping[str, Layer]) -> tuple[Layer, ...]:
    return tuple(known[name] for name in group.layers)


def _joined(parts: Sequence[GroupErrors]) -> GroupErrors:
    names = ("signal", "noise", "other", "samples")
    return GroupErrors(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


def _of_batch(
    table: OneAtATime,
    spots: Sequence[_Spot],
    batch: Batch,
    name: str,
    shape: tuple[int, int],
) -> GroupErrors:
    outputs, answers = table.answers(batch.feeds)
    wanted = [np.asarray(batch.samples(np.atleast_1d(x)), np.float64) for x in outputs]
    loss = _loss(name, dict(zip(table.outputs, wanted, strict=True)), batch)
    noise, other = np.zeros((*shape, len(wanted))), np.zeros(shape)
    for number, answer in answers:
        got = [np.asarray(batch.samples(np.atleast_1d(x)), np.float64) for x in answer]
        spot = spots[number]
        row = [_noise(x, y) for x, y in zip(wanted, got, strict=True)]
        noise[spot.row, list(spot.ks)] = row
        other[spot.row, list(spot.ks)] = loss(dict(zip(table.outputs, got, strict=True)))
    signal = np.array([SquaredError.of(x, x, pairwise=True).signal for x in wanted])
    return GroupErrors(
        signal=signal[None],
        noise=noise[None],
        other=other[None],
        samples=np.array([batch.count], np.int64),
    )


def _noise(want: F64, got: F64) -> float:
    """Return the sum of squares of a difference; inf where it cannot be taken or is not finite."""
    noise = SquaredError.of(want, got, pairwise=True).noise
    return noise if np.isfinite(noise) else float("inf")


def _loss(
    name: str, wanted: Mapping[str, F64], batch: Batch
) -> Callable[[Mapping[str, F64]], float]:
    """Return the function that sums over a batch's samples what an answer loses against float."""
    if name == "nmse":
        return lambda got: 0.0
    first = next(iter(wanted.values()))
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
    judged = wanted if metric.against_float else labels
    sign = 1.0 if metric.better == "higher" else -1.0
    base = float(np.sum(metric.scores(wanted, judged)))
    return lambda got: sign * (base - float(np.sum(metric.scores(got, judged))))


def _log_softmax(x: F64) -> F64:
    """Return log softmax along the last axis; of outputs that are probabilities already, their log."""
    if np.all(x >= 0) and np.allclose(x.sum(axis=-1), 1, atol=1e-3):
        return np.asarray(np.log(np.maximum(x, 1e-12)))
    top = x - x.max(axis=-1, keepdims=True)
    return np.asarray(top - np.log(np.exp(top).sum(axis=-1, keepdims=True)))


def sensitivity_of(
    probes: GroupErrors, between: Sequence[SharedTensor] = (), name: str = "nmse"
) -> Sensitivity:
    """Return the errors of probes over all samples together."""
    signal = probes.signal.sum(axis=0)
    noise = probes.noise.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        nmse = np.where(noise > 0, noise / signal, 0.0)
    samples = int(probes.samples.sum())
    error = nmse.mean(axis=2) if name == "nmse" else probes.other.sum(axis=0) / max(samples, 1)
    return Sensitivity(
        name=name, error=np.asarray(error), nmse=nmse, between=tuple(between), samples=samples
    )

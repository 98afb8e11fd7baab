"""The float graph and its candidates on the same samples: errors of every output, metrics, times."""

__all__ = ["Comparison", "OutputError", "compare", "measurable_outputs"]

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.compare.batch import Batch
from quant.compare.sample_table import SampleCollector, SampleTable
from quant.metrics.metric import Metric, score_batch
from quant.metrics.squared_error import SquaredError

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputError:
    """One output of a candidate against float.

    Attributes:
        output: Its name.
        sqnr_db: SQNR over all samples together, in dB; higher is better.
        cosine: Cosine over all samples together; 1 is best.
        largest: The greatest absolute difference.
    """

    output: str
    sqnr_db: float
    cosine: float
    largest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One candidate against the float graph.

    Attributes:
        samples: How many.
        outputs: An error for each float output of the network.
        agreement: Share of samples whose greatest class is the float graph's, 0 to 1; None for a
            network whose first output is not `[samples, classes]`.
        scores: By metric name the mean of the candidate.
        float_scores: By metric name the mean of the float graph.
        milliseconds: Time of a sample in the candidate, and `float_milliseconds` in float: of one
            interleaved run on this machine.
        table: The answers to each sample, which a gate decides on.
    """

    samples: int
    outputs: tuple[OutputError, ...]
    agreement: float | None
    scores: dict[str, float]
    float_scores: dict[str, float]
    milliseconds: float
    float_milliseconds: float
    table: SampleTable | None = field(default=None, repr=False, compare=False)

    @property
    def sqnr_db(self) -> float:
        """The SQNR of the worst output that could be compared, in dB; nan when none could."""
        finite = [o.sqnr_db for o in self.outputs if not np.isnan(o.sqnr_db)]
        return min(finite, default=float("nan"))


@dataclass
class _Candidate:
    """A session that is compared, with its sums so far."""

    session: Any
    errors: tuple[SquaredError, ...] = ()
    agreed: int = 0
    seconds: float = 0.0
    scores: dict[str, list[Array]] = field(default_factory=dict)
    collector: SampleCollector = field(default_factory=SampleCollector)

    def add_scores(self, scores: Mapping[str, Array]) -> None:
        """Keep the scores of one more batch."""
        for name, values in scores.items():
            self.scores.setdefault(name, []).append(values)


def compare(
    reference: Any,
    candidates: Mapping[str, Any],
    batches: Iterable[Batch],
    metrics: Sequence[Metric] = (),
) -> dict[str, Comparison]:
    """Run the float session and every candidate on the same samples, one pass over the data.

    Args:
        reference: ONNX Runtime session of the prepared graph.
        candidates: Sessions by name; their outputs have the reference's names and order.
        batches: The samples.
        metrics: Judged for float and candidates, where every sample has a label or the metric needs
            none.

    Raises:
        InputError: No sample arrived.
    """
    names = [o.name for o in reference.get_outputs()]
    runs = {name: _Candidate(session) for name, session in candidates.items()}
    float_run = _Candidate(reference)
    samples, classes = 0, True
    positions: list[int] = []
    sample_rows: list[tuple[str, str, int | None]] = []
    for batch in batches:
        expected = _run(float_run, batch, names)
        positions = positions or measurable_outputs(expected)
        samples += batch.count
        classes = classes and _of_classes(expected[0], batch.count)
        labels = _labels(batch)
        digests = [f"{digest:064x}"[:16] for digest in batch.digests]
        sample_rows += zip(batch.keys, digests, batch.labels, strict=True)
        answers = dict(zip(names, expected, strict=True))
        float_run.add_scores(score_batch(metrics, answers, answers, labels, batch.count))
        for run in runs.values():
            answered = _run(run, batch, names)
            outputs = dict(zip(names, answered, strict=True))
            run.add_scores(score_batch(metrics, outputs, answers, labels, batch.count))
            pair = [expected[i] for i in positions], [answered[i] for i in positions]
            parts = [SquaredError.of(a, b) for a, b in zip(*pair, strict=True)]
            sums = run.errors or (SquaredError(),) * len(parts)
            run.errors = tuple(e + part for e, part in zip(sums, parts, strict=True))
            run.collector.add(*pair, batch.count)
            if classes:
                run.collector.add_classes(expected[0], answered[0])
                run.agreed += int(np.sum(expected[0].argmax(axis=1) == answered[0].argmax(axis=1)))
    if not samples:
        raise InputError("comparison: no sample arrived, wanted at least 1. Check --data.")
    judged = [names[i] for i in positions]
    comparisons = {}
    for name, run in runs.items():
        table = run.collector.table(judged, sample_rows, run.scores, float_run.scores, metrics)
        comparisons[name] = replace(_result(run, float_run, judged, samples, classes), table=table)
    return comparisons


def _of_classes(output: Array, count: int) -> bool:
    """Return whether an output has one row of class scores for each sample."""
    shaped = output.ndim == 2 and output.shape[0] == count and output.shape[1] > 1
    return shaped and output.dtype.kind == "f"


def measurable_outputs(outputs: Sequence[Array]) -> list[int]:
    """Return the positions of the outputs an error can be measured on: floats, or all if none is.

    The distance between two class numbers means nothing.
    """
    floats = [i for i, o in enumerate(outputs) if o.dtype.kind == "f"]
    return floats or list(range(len(outputs)))


def _run(run: _Candidate, batch: Batch, names: Sequence[str]) -> list[Array]:
    """Run one batch and cut the padding off."""
    start = time.perf_counter()
    outputs = run.session.run(names, dict(batch.feeds))
    run.seconds += time.perf_counter() - start
    return [batch.samples(o) for o in outputs]


def _labels(batch: Batch) -> Array | None:
    if any(label is None for label in batch.labels) or not batch.labels:
        return None
    return np.array(batch.labels, np.int64)


def _result(
    run: _Candidate, float_run: _Candidate, names: Sequence[str], samples: int, classes: bool
) -> Comparison:
    outputs = tuple(
        OutputError(
            output=name,
            sqnr_db=error.sqnr_db,
            cosine=error.cosine,
            largest=error.largest,
        )
        for name, error in zip(names, run.errors, strict=True)
    )
    return Comparison(
        samples=samples,
        outputs=outputs,
        agreement=run.agreed / samples if classes else None,
        scores={k: float(np.concatenate(v).mean()) for k, v in run.scores.items()},
        float_scores={k: float(np.concatenate(v).mean()) for k, v in float_run.scores.items()},
        milliseconds=1e3 * run.seconds / samples,
        float_milliseconds=1e3 * float_run.seconds / samples,
    )

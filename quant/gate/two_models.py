"""Two models and the data set on which they are compared: opened, and run part by part."""

__all__ = ["OpenModels", "TwoModels"]

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quant.analysis.suspects import suspects
from quant.calibration import Batch, batches, open_data, split
from quant.calibration.selection.split import random_order
from quant.calibration.sources.data import input_specs
from quant.common.errors import InputError, QuantError
from quant.common.progress import Progress
from quant.compare.comparison import Comparison, compare
from quant.compare.sample_table import SampleTable
from quant.gate.candidate import Candidate, open_candidate
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session
from quant.job.settings import OpensData
from quant.load.given_model import GivenModel
from quant.load.onnx_file import read_model
from quant.load.open_graph import load
from quant.load.prepare import prepare
from quant.metrics.metric import find_metric
from quant.preprocess.image_to_tensor import Preprocess
from quant.runtimes.onnxruntime import ORT_CPU
from quant.target.table import find_runtime

BATCH = 16
"""Samples in one inference, where both models take any number."""
TRACED_SAMPLES = 16
"""Samples on which the layers are compared when a limit is breached."""


@dataclass(frozen=True, kw_only=True)
class TwoModels:
    """A float reference, a quantized candidate, and the data set on which they are compared.

    Attributes:
        reference: Float ONNX file, `module:factory`, or a model in memory.
        candidate: Quantized ONNX file, or OpenVINO's IR.
        data: Folder, list, array file, `module:function`, or samples in memory.
        preprocess: Image to tensor.
        runtime: Name of a runtime, of any target, that executes the candidate.
        labels: CSV file, "folders", or None.
        metrics: Names of metrics.
        samples: Greatest number of samples; None for all.
        calibrated: Number of samples that `quant calibrate --samples` took from the same data with
            the same seed; they are left out.
        seed: Seed of the choice and of the order of samples.
        threads: Threads inside one operator; 0 for all cores.
        max_bad: Greatest share of unreadable samples.
        sequential: Whether to test early, and to stop once the answer is certain.

    Raises:
        InputError: A number is out of its range.
    """

    reference: str | GivenModel
    candidate: Path
    data: str | OpensData
    preprocess: Preprocess
    runtime: str = "onnxruntime"
    labels: str | None = None
    metrics: tuple[str, ...] = ("top1",)
    samples: int | None = None
    calibrated: int = 0
    seed: int = 0
    threads: int = 0
    max_bad: float = 0.05
    sequential: bool = False

    def __post_init__(self) -> None:
        least = {"samples": 1, "calibrated": 0, "seed": 0, "threads": 0}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise InputError(f"--{name}: must be {bound} or more, saw {value}. Raise it.")
        if not 0 <= self.max_bad <= 1:
            raise InputError(
                f"--max-bad: must be from 0 to 1, saw {self.max_bad}. Write 0.05 for 5 %."
            )


@dataclass(kw_only=True)
class OpenModels:
    """Both models and the data set, open.

    Attributes:
        settings: The models' paths and how they are compared.
        model: The reference as ONNX.
        reference: ONNX Runtime session of the reference.
        candidate: The quantized model.
        data: The samples.
        order: Indices of the judged samples, in the order in which they run.
        rows: Samples in one inference.
        bad: `(key, reason)` of samples that could not be read.
        progress: Shows the progress.
    """

    settings: TwoModels
    model: Any
    reference: Any
    candidate: Candidate
    data: Any
    order: list[int]
    rows: int
    bad: list[tuple[str, str]]
    progress: Progress

    @classmethod
    def open(cls, settings: TwoModels, progress: Progress) -> "OpenModels":
        """Open models and data; raises InputError or UnsupportedError where that is impossible."""
        with progress.stage("load"):
            model = load(settings.reference)
            graph = Graph(model, "reference", str(settings.reference))
            inputs, outputs = ([str(v.name) for v in vs] for vs in (graph.inputs, graph.outputs))
            runtime = find_runtime(settings.runtime)
            candidate = open_candidate(
                settings.candidate, inputs, outputs, runtime, settings.threads
            )
            reference = open_session(model, threads=settings.threads)
        specs = input_specs(graph)
        labels: Any = settings.labels
        if labels not in (None, "folders"):
            labels = Path(labels)
        data = open_data(settings.data, specs, settings.preprocess, labels)
        count = settings.samples if settings.samples is not None else len(data)
        if settings.calibrated >= len(data):
            raise InputError(
                f"--calibrated: {settings.calibrated} of the {len(data)} samples of {settings.data} "
                "were used to calibrate, and none is left to judge. Give more data."
            )
        held_out = split(len(data), max(settings.calibrated, 1), len(data), settings.seed)[1]
        eligible = held_out if settings.calibrated else list(range(len(data)))
        order = [eligible[i] for i in random_order(len(eligible), settings.seed)[:count]]
        fixed = [s.shape[0] for s in specs if s.shape and s.shape[0] is not None]
        rows = fixed[0] if fixed else candidate.batch or BATCH
        if candidate.batch not in (None, rows):
            raise InputError(
                f"{settings.candidate}: it takes batches of {candidate.batch}, the reference batches of "
                f"{rows}. Export both with an open batch axis."
            )
        return cls(
            settings=settings, model=model, reference=reference, candidate=candidate, data=data, order=order,
            rows=rows, bad=[], progress=progress,
        )  # fmt: skip

    def _stream(self, start: int, end: int) -> Iterator[Batch]:
        indices = self.order[start:end]
        yield from batches(
            self.data, indices, self.rows, bad=self.bad, max_bad=self.settings.max_bad
        )

    def must_fit(self) -> None:
        """Run one batch in both models; raises InputError where outputs cannot be compared."""
        first = next(self._stream(0, len(self.order)), None)
        if first is None:
            raise InputError(
                f"--data {self.settings.data}: none of the samples can be read. Give other data."
            )
        outputs = self.model.graph.outputs
        names = [str(v.name) for v in outputs]
        pairs = zip(
            self.reference.run(names, first.feeds),
            self.candidate.run(names, first.feeds),
            strict=True,
        )
        for value, (a, b) in zip(outputs, pairs, strict=True):
            fixed = [isinstance(d, int) for d in value.shape] if value.shape is not None else []
            differ = [x != y for x, y in zip(a.shape[1:], b.shape[1:], strict=False)]
            if a.ndim != b.ndim or any(f and d for f, d in zip(fixed[1:], differ, strict=False)):
                raise InputError(
                    f"{self.settings.candidate}: output '{value.name}' must have the reference's "
                    f"shape, saw {_by(b.shape)}, wanted {_by(a.shape)}. Export both from one network."
                )
            if a.dtype.kind == "f" and a.size and not np.isfinite(a).any():
                raise InputError(
                    f"{self.settings.reference}, output '{value.name}': the reference must give "
                    f"finite numbers, saw none among the first {a.size}. Check the preprocessing, or "
                    "mend the model."
                )

    def answers(self, start: int, end: int) -> SampleTable:
        """Return the answers of both models to the samples from `start` to before `end`."""
        comparison = self.comparison(start, end)
        assert comparison.table is not None
        return comparison.table

    def comparison(self, start: int, end: int) -> Comparison:
        """Return how the models differ on the samples from `start` to before `end`."""
        metrics = [find_metric(name) for name in self.settings.metrics]
        total = -(-(end - start) // self.rows)
        stream = self.progress.bar(self._stream(start, end), total, "measure")
        with self.progress.stage("measure"):
            return compare(self.reference, {"candidate": self.candidate}, stream, metrics)[
                "candidate"
            ]

    def faulty_layers(self) -> tuple[tuple[str, str], ...]:
        """Return the layers that go wrong, where both graphs share the names of tensors."""
        if self.candidate.runtime is not ORT_CPU:  # only there can inner tensors be asked for
            return ()
        quantized = read_model(self.candidate.path)
        samples = list(self._stream(0, TRACED_SAMPLES))
        threads = self.settings.threads
        with suppress(QuantError):  # layers of our own exports are named after the prepared graph
            graph = prepare(self.model, "reference", str(self.settings.reference))
            if layers := suspects(graph.model, quantized, samples, threads):
                return layers
        return suspects(self.model, quantized, samples, threads)


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a number"

"""Trial: two models and the data that they are judged on, opened and run part by part."""

__all__ = ["OpenModels", "TwoModels"]

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quant.analysis.suspects import suspects
from quant.calibration import Batch, batches, open_data, split
from quant.calibration.sources.data import input_specs
from quant.common.errors import InputError, QuantError
from quant.common.progress import Progress
from quant.compare.comparison import compare
from quant.compare.sample_table import SampleTable
from quant.gate.candidate import Candidate, open_candidate
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session
from quant.load.open_graph import load
from quant.load.prepare import prepare
from quant.metrics.metric import find_metric
from quant.preprocess.image_to_tensor import Preprocess

ROWS = 16
"""Samples in one inference, where both models take any number."""
TRACED = 16
"""Samples on which layers are compared when a limit is breached."""


@dataclass(frozen=True, kw_only=True)
class TwoModels:
    """Two models, and the data that they are judged on.

    Attributes:
        reference: Float ONNX, or `module:factory`.
        candidate: Quantized ONNX, or OpenVINO's IR.
        data: Folder, list, array file or `module:function`.
        preprocess: Image to tensor.
        runtime: Where the candidate runs: "onnxruntime" or "openvino".
        labels: CSV file, "folders", or None.
        metrics: Names of metrics.
        samples: How many at most; None for all.
        calibrated: How many of the data `quant calibrate --samples` took with this seed; they are
            left out.
        seed: Of the choice and the order of samples.
        threads: Threads inside one operator; 0 for all cores.
        max_bad: Greatest share of unreadable samples.
        sequential: Look early, and stop once the answer is certain.

    Raises:
        InputError: A number is out of its range.
    """

    reference: str
    candidate: Path
    data: str
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
            seen = getattr(self, name)
            if seen is not None and seen < bound:
                raise InputError(f"--{name}: must be {bound} or more, saw {seen}. Raise it.")
        if not 0 <= self.max_bad <= 1:
            raise InputError(
                f"--max-bad: must be from 0 to 1, saw {self.max_bad}. Write 0.05 for 5 %."
            )


@dataclass(kw_only=True)
class OpenModels:
    """Both models and the data, open.

    Attributes:
        contest: Says how.
        raw: The reference's graph.
        plain: ONNX Runtime session of it.
        rival: The candidate.
        data: The samples.
        order: Which of them, in the order of looking.
        rows: Samples in one inference.
        bad: `(key, reason)` of samples that could not be read.
        progress: Shows the progress.
    """

    contest: TwoModels
    raw: Any
    plain: Any
    rival: Candidate
    data: Any
    order: list[int]
    rows: int
    bad: list[tuple[str, str]]
    progress: Progress

    @classmethod
    def open(cls, contest: TwoModels, progress: Progress) -> "OpenModels":
        """Open what a contest names; raises InputError or UnsupportedError where that cannot be."""
        with progress.stage("load"):
            raw = load(contest.reference)
            graph = Graph(raw, "reference", contest.reference)
            inputs, outputs = ([str(v.name) for v in vs] for vs in (graph.inputs, graph.outputs))
            rival = open_candidate(
                contest.candidate, inputs, outputs, contest.runtime, contest.threads
            )
            plain = open_session(raw, threads=contest.threads)
        specs = input_specs(graph)
        labels: Any = contest.labels
        if labels not in (None, "folders"):
            labels = Path(labels)
        data = open_data(contest.data, specs, contest.preprocess, labels)
        wanted = contest.samples if contest.samples is not None else len(data)
        if contest.calibrated >= len(data):
            raise InputError(
                f"--calibrated: {contest.calibrated} of the {len(data)} samples of {contest.data} "
                "calibrated, and none is left to judge. Give more data."
            )
        left = split(len(data), max(contest.calibrated, 1), len(data), contest.seed)[1]
        kept = left if contest.calibrated else list(range(len(data)))
        words = np.random.PCG64(contest.seed).random_raw(len(kept))
        order = [kept[int(i)] for i in np.argsort(words, kind="stable")][:wanted]
        fixed = [s.shape[0] for s in specs if s.shape and s.shape[0] is not None]
        rows = fixed[0] if fixed else rival.batch or ROWS
        if rival.batch not in (None, rows):
            raise InputError(
                f"{contest.candidate}: it takes batches of {rival.batch}, and the reference of "
                f"{rows}. Export both with a free batch axis."
            )
        return cls(
            contest=contest, raw=raw, plain=plain, rival=rival, data=data, order=order,
            rows=rows, bad=[], progress=progress,
        )  # fmt: skip

    def _stream(self, start: int, end: int) -> Iterator[Batch]:
        indices = self.order[start:end]
        yield from batches(
            self.data, indices, self.rows, bad=self.bad, max_bad=self.contest.max_bad
        )

    def must_fit(self) -> None:
        """Run one batch of both; raises InputError where their outputs cannot be compared."""
        first = next(self._stream(0, len(self.order)), None)
        if first is None:
            raise InputError(
                f"--data {self.contest.data}: none of its samples can be read. Give others."
            )
        outputs = self.raw.graph.outputs
        names = [str(v.name) for v in outputs]
        pairs = zip(
            self.plain.run(names, first.feeds), self.rival.run(names, first.feeds), strict=True
        )
        for value, (a, b) in zip(outputs, pairs, strict=True):
            fixed = [isinstance(d, int) for d in value.shape] if value.shape is not None else []
            differ = [x != y for x, y in zip(a.shape[1:], b.shape[1:], strict=False)]
            if a.ndim != b.ndim or any(f and d for f, d in zip(fixed[1:], differ, strict=False)):
                raise InputError(
                    f"{self.contest.candidate}: output '{value.name}' has the reference's shape, "
                    f"saw {_by(b.shape)}, wanted {_by(a.shape)}. Export both from one network."
                )
            if a.dtype.kind == "f" and a.size and not np.isfinite(a).any():
                raise InputError(
                    f"{self.contest.reference}, output '{value.name}': the reference must give "
                    f"numbers, and none of its first {a.size} is finite. Check the preprocessing, "
                    "or mend the model."
                )

    def answers(self, start: int, end: int) -> SampleTable:
        """Return both models' answers to the samples from `start` to before `end`."""
        metrics = [find_metric(name) for name in self.contest.metrics]
        total = -(-(end - start) // self.rows)
        shown = self.progress.bar(self._stream(start, end), total, "measure")
        with self.progress.stage("measure"):
            found = compare(self.plain, {"candidate": self.rival}, shown, metrics)["candidate"]
        assert found.table is not None
        return found.table

    def suspects(self) -> tuple[tuple[str, str], ...]:
        """Return the layers that go wrong, where the two graphs share the names of tensors."""
        model = self.rival.model
        if model is None:
            return ()
        some = list(self._stream(0, TRACED))
        threads = self.contest.threads
        with suppress(QuantError):  # the graph that layers of ours are named after
            graph = prepare(self.raw, "reference", self.contest.reference)
            if found := suspects(graph.model, model, some, threads):
                return found
        return suspects(self.raw, model, some, threads)


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a number"

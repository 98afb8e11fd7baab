"""Gating: a gate over the folder of a run, or over two models and the data to judge them on."""

__all__ = [
    "Contest",
    "chosen_gate",
    "gate_models",
    "gate_run",
    "keep_baseline",
    "quick_limits",
]

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from quant.baseline import Baseline, load_baseline, save_baseline, with_baseline
from quant.calibration import Batch, batches, open_data, split
from quant.compare import compare
from quant.errors import InputError, QuantError
from quant.evidence import Evidence
from quant.gate import Limit, Result, Verdict
from quant.gate_file import Gate, load_gate
from quant.graph import Graph
from quant.judge import judge
from quant.load import load
from quant.prepare import prepare
from quant.preprocess import Preprocess
from quant.run_evidence import read_run
from quant.runtimes import Candidate, open_candidate
from quant.samples import SampleTable, joined
from quant.sequential import levels, looks
from quant.session import open_session
from quant.stages import find_metric, input_specs
from quant.suspects import suspects
from quant.talk import Talk

ROWS = 16
"""Samples in one inference, where both models take any number."""
TRACED = 16
"""Samples on which layers are compared when a limit is breached."""

QUICK: Mapping[str, str] = {
    "max_drop": "accuracy_drop",
    "min_agreement": "agreement",
    "min_sqnr": "sqnr_db",
}
SINCE: Mapping[str, float] = {
    "baseline_accuracy_drop": 0.01,
    "baseline_sqnr_loss_db": 1.0,
    "baseline_size_growth": 0.02,
}
"""What a baseline holds a run to where the gate's file says nothing of baselines."""


def quick_limits(options: Mapping[str, float | None]) -> tuple[Limit, ...]:
    """Return the limits that flags name: max_drop, min_agreement and min_sqnr."""
    given = {flag: value for flag in QUICK if (value := options.get(flag)) is not None}
    return tuple(
        Limit(measure=QUICK[flag], bound=value, place=f"--{flag.replace('_', '-')}")
        for flag, value in given.items()
    )


def chosen_gate(
    config: Path | None,
    quick: Sequence[Limit],
    changes: Mapping[str, Any],
    *,
    needed: bool = True,
) -> Gate:
    """Return the gate of a file and of flags.

    Args:
        config: TOML; None for gate.toml or a pyproject.toml with [tool.quant.gate] in the current
            folder, where no flag is a limit.
        quick: Limits of flags.
        changes: `confidence` and `undecided`, which go before the file's; None leaves them.
        needed: False lets a gate without any limit through: a baseline has its own.

    Raises:
        InputError: There is neither a file nor a flag, or the file is wrong.
    """
    if config is None and not quick:
        pyproject = Path("pyproject.toml")
        if Path("gate.toml").exists():
            config = Path("gate.toml")
        elif pyproject.exists() and "tool.quant.gate" in pyproject.read_text(encoding="utf-8"):
            config = pyproject
        elif needed:
            raise InputError(
                "quant gate: it needs limits, and there is no gate.toml here and no "
                "[tool.quant.gate] in a pyproject.toml. Give --config FILE, or --max-drop 0.01."
            )
    gate = load_gate(config) if config is not None else Gate()
    given = {k: v for k, v in changes.items() if v is not None}
    limits = tuple(replace(limit, **given) for limit in (*gate.limits, *quick))
    return replace(gate, limits=limits)


def gate_run(folder: Path, gate: Gate, baseline: Path | None = None) -> Verdict:
    """Return the verdict over a run.

    Args:
        folder: The `--out` of `quant calibrate`.
        gate: The limits.
        baseline: A file to hold the run against, or None.

    Raises:
        InputError: The folder, the baseline or a limit is wrong.
    """
    run = read_run(folder, gate.judge)
    seen, notes = dict(run.targets), list[str]()
    limits = gate.limits
    if baseline is not None:
        seen, notes = with_baseline(run, load_baseline(baseline))
        if not any(limit.measure in SINCE for limit in limits):
            limits += tuple(
                Limit(measure=name, bound=bound, place=str(baseline))
                for name, bound in SINCE.items()
                if name != "baseline_accuracy_drop" or any(e.before for e in seen.values())
            )
    results: list[Result] = []
    for limit in limits:
        for evidence in _meant(limit, seen, folder):
            results.append(judge(limit, evidence, gate.slices))
    return Verdict(
        subject=str(run.facts["model"]["name"]), results=tuple(results), notes=tuple(notes)
    )


def keep_baseline(folder: Path, gate: Gate, path: Path) -> None:
    """Write a run's numbers as the baseline of later ones."""
    save_baseline(Baseline.of(read_run(folder, gate.judge)), path)


def _meant(limit: Limit, seen: Mapping[str, Evidence], folder: Path) -> list[Evidence]:
    found = [e for name, e in seen.items() if fnmatchcase(name, limit.target)]
    if not found:
        raise InputError(
            f"{limit.place}: target '{limit.target}' matches none of {folder}: "
            f"{', '.join(seen) or 'it has none'}. Mend the pattern, or remove the limit."
        )
    return found


@dataclass(frozen=True, kw_only=True)
class Contest:
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


def gate_models(contest: Contest, gate: Gate, talk: Talk | None = None) -> Verdict:
    """Return the verdict over a quantized model that anybody made.

    Raises:
        InputError: A model, the data, the labels or a limit is wrong.
        UnsupportedError: A runtime refuses a model, or is not installed.
    """
    talk = talk or Talk(quiet=True)
    _refuse_kinds(gate)
    trial = _Trial.open(contest, talk)
    trial.must_fit()
    bounds = looks(len(trial.order)) if contest.sequential else [len(trial.order)]
    shares = {limit: levels(bounds, limit.level) for limit in gate.limits}
    done: dict[Limit, Result] = {}
    parts: list[SampleTable] = []
    evidence = Evidence(target=contest.candidate.name, place=str(contest.candidate))
    for turn, (start, end) in enumerate(pairwise([0, *bounds])):
        parts.append(trial.answers(start, end))
        evidence = replace(evidence, table=joined(parts))
        for limit in gate.limits:
            if limit not in done or done[limit].outcome == "undecided":
                done[limit] = judge(limit, evidence, gate.slices, shares[limit][turn])
        found = [done[limit].outcome for limit in gate.limits]
        if "fail" in found or "undecided" not in found:
            break
    notes = []
    if contest.sequential:
        notes.append(f"sequential: looked at {end} of {bounds[-1]} samples, in {turn + 1} looks")
    results = tuple(done[limit] for limit in gate.limits)
    if end < bounds[-1]:
        results = tuple(r if r.outcome != "undecided" else _stopped(r) for r in results)
    if any(r.outcome != "pass" for r in results) and (named := trial.suspects()):
        results = tuple(r if r.outcome == "pass" else replace(r, layers=named) for r in results)
    return Verdict(subject=contest.candidate.name, results=results, notes=tuple(notes))


def _stopped(result: Result) -> Result:
    """Return a result that is undecided because another limit failed before it could be decided."""
    why = "not decided: another limit failed, and the gate stopped"
    judged = replace(result.judged, low=math.nan, high=math.nan, needed=None, because=why)
    return replace(result, judged=judged, parts=())


def _refuse_kinds(gate: Gate) -> None:
    for limit in gate.limits:
        if limit.about.kind != "samples" or limit.measure.startswith("baseline_"):
            raise InputError(
                f"{limit.place}: {limit.measure} is of a run, and two models have only what their "
                "answers show. Give --run, or remove the limit."
            )


@dataclass(kw_only=True)
class _Trial:
    """Both models and the data, open."""

    contest: Contest
    raw: Any
    plain: Any
    rival: Candidate
    data: Any
    order: list[int]
    rows: int
    bad: list[tuple[str, str]]
    talk: Talk

    @classmethod
    def open(cls, contest: Contest, talk: Talk) -> "_Trial":
        with talk.stage("load"):
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
            rows=rows, bad=[], talk=talk,
        )  # fmt: skip

    def _stream(self, start: int, end: int) -> Iterator[Batch]:
        indices = self.order[start:end]
        yield from batches(
            self.data, indices, self.rows, bad=self.bad, max_bad=self.contest.max_bad
        )

    def must_fit(self) -> None:
        """Run one batch of both; raises InputError where their outputs cannot be compared."""
        first = next(self._stream(0, self.rows))
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
        shown = self.talk.bar(self._stream(start, end), total, "measure")
        with self.talk.stage("measure"):
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

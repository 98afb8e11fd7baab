"""What the planned targets answer on the measured samples, beside the float network."""

__all__ = ["MeasuredTarget", "measure_targets"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from quant.common.files import write_text
from quant.compare.comparison import Comparison, compare
from quant.compare.sample_table import samples_csv
from quant.graph.session import open_session, open_simulation
from quant.run.calibration import Calibration
from quant.run.context import RunContext
from quant.run.plan_target import PlannedTarget
from quant.runtimes.onnxruntime import ORT_CPU

PARITY_BATCHES = 2
"""Batches on which the integer run is compared with the simulation."""


@dataclass(frozen=True, kw_only=True)
class MeasuredTarget:
    """What one target answered.

    Attributes:
        simulated: The simulation against float.
        integer: The exported graph, run in the target's own runtime, against float; None where the
            runtime is not at hand.
        parity: The exported graph against the simulation.
    """

    simulated: Comparison
    integer: Comparison | None = None
    parity: Comparison | None = None


def measure_targets(
    context: RunContext, calibration: Calibration, planned: Mapping[str, PlannedTarget]
) -> dict[str, MeasuredTarget]:
    """Compare the simulations and, where the runtime is at hand, the exports with float.

    The answers to each sample are written to `samples.csv` and `samples_integer.csv`.

    Raises:
        InputError: A metric cannot judge the outputs, or a file cannot be written.
    """
    material = context.material
    with context.progress.stage("measure"):
        sessions = _sessions(context, planned)
        batches = context.batches(material.measured)
        total = -(-len(material.measured) // material.batch)
        shown = context.progress.bar(batches, total, "measure")
        comparisons = compare(context.float_session, sessions, shown, context.metrics)
        few = calibration.trial.batches[:PARITY_BATCHES]
        measured = {}
        for name in planned:
            integer, parity = comparisons.get(_integer(name)), None
            if integer is not None:
                export = {"integer": sessions[_integer(name)]}
                parity = compare(sessions[name], export, few)["integer"]
            measured[name] = MeasuredTarget(
                simulated=comparisons[name], integer=integer, parity=parity
            )
            _write_samples(context, name, measured[name])
    return measured


def _integer(name: str) -> str:
    """Return the name of a target's exported graph among the sessions."""
    return f"{name} integer"


def _sessions(context: RunContext, planned: Mapping[str, PlannedTarget]) -> dict[str, Any]:
    """Return a session of each simulation, and of each export that ONNX Runtime executes."""
    threads, out = context.job.threads, context.job.out
    sessions: dict[str, Any] = {}
    for name, target in planned.items():
        model = ir.load(out / name / "simulated.onnx")
        sessions[name] = open_simulation(model, threads)
        files = target.written.exported.files
        if ORT_CPU in target.target.runtimes and files:
            model = ir.load(out / name / files[0])
            sessions[_integer(name)] = open_session(model, threads=threads)
    return sessions


def _write_samples(context: RunContext, name: str, measured: MeasuredTarget) -> None:
    folder = context.job.out / name
    for comparison, file in (
        (measured.simulated, "samples.csv"),
        (measured.integer, "samples_integer.csv"),
    ):
        if comparison is not None and comparison.table is not None:
            write_text(folder / file, samples_csv(comparison.table))

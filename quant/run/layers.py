"""The error of every layer of a planned target, measured and written."""

__all__ = ["LayerErrors", "measure_layers"]

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quant.analysis.analyse import Analysis, analyse
from quant.analysis.cumulative import cumulative
from quant.analysis.file import analysis_csv, save_analysis
from quant.analysis.isolated import isolated_errors
from quant.analysis.layer_error import LayerError, layer_csv
from quant.analysis.layer_table import layer_macs, layer_table, measured_layers
from quant.analysis.local import local_errors
from quant.analysis.measured_errors import MeasuredErrors
from quant.calibration import Batch
from quant.common.files import write_text
from quant.cost.network_cost import predicted
from quant.plan.planned_graph import PlannedGraph
from quant.run.calibration import Calibration
from quant.run.context import RunContext
from quant.run.plan_target import PlannedTarget
from quant.search.cost_source import cost_table
from quant.simulate.simulated_graph import quantize_graph


@dataclass(frozen=True, kw_only=True)
class LayerErrors:
    """The layers of one target.

    Attributes:
        rows: The layer table, a row for each layer.
        analysis: Errors by image and by channel; None where no sample was asked for.
        predicted: Predicted milliseconds and their source; empty where no time is known.
    """

    rows: tuple[LayerError, ...]
    analysis: Analysis | None
    predicted: dict[str, Any]


def measure_layers(
    context: RunContext, calibration: Calibration, planned: PlannedTarget
) -> LayerErrors:
    """Measure each layer alone and together with all others, and write `layers.csv`.

    A single layer is quantized by the plan's own quantizers in an otherwise float network, on every
    target: the way in which a target splits its integer sums has no counterpart for one layer alone.

    Raises:
        InputError: A file cannot be written.
    """
    job, graph, plan = context.job, planned.base, planned.plan
    batches = _batches(context, calibration)
    folder = job.out / planned.target.name
    errors = MeasuredErrors()
    analysis = None
    of_plan = PlannedGraph(graph=graph, plan=plan, profile=planned.profile)
    if batches:
        with context.progress.stage("layers"):
            layers = measured_layers(graph, plan)
            model = quantize_graph(planned.graph, plan, planned.target, weight_form="integer")
            together = cumulative(graph, model, layers, batches, job.threads)
            local = local_errors(graph, model, layers, batches, job.threads)
            title = f"layers of {planned.target.name}"
            shown = context.progress.bar(batches, len(batches), title)
            isolated = isolated_errors(graph, model, layers, shown, job.threads)
            keys = [key for batch in batches for key in batch.keys]
            errors = MeasuredErrors(isolated=isolated, cumulative=together, local=local)
            analysis = analyse(of_plan, layers, keys, errors)
            save_analysis(analysis, folder / "analysis.safetensors")
            write_text(folder / "analysis.csv", analysis_csv(analysis))
    first = calibration.trial.batches[:1]
    sizes = {str(k): tuple(v.shape) for b in first for k, v in b.feeds.items()}
    macs = layer_macs(graph, sizes)
    rows = layer_table(of_plan, errors, macs)
    write_text(folder / "layers.csv", layer_csv(rows))
    if planned.search is not None:
        table = planned.search.inputs.table
    else:
        table = cost_table(graph, planned.target, job, first)
    return LayerErrors(
        rows=tuple(rows),
        analysis=analysis,
        predicted=predicted(graph, plan, planned.target, table),
    )


def _batches(context: RunContext, calibration: Calibration) -> Sequence[Batch]:
    """Return whole batches for the layer table: the sums cannot leave padding out."""
    trial, size = calibration.trial.batches, context.material.batch
    whole = [b for b in trial if b.count == size] or trial[:1]
    return whole[: -(-context.job.layer_samples // size)]

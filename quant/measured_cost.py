"""Measured cost: the time of every layer at every precision, taken on this machine.

The float graph, the export with every layer in integers, and one with every second weighted layer in
float run in turns under the runtime's profiler (`kernel_times`). Kernels are told apart by numbered
names (`numbered`). What turns numbers into another form (quantizers, reorders, the transposes of a
layout) is a conversion where a precision changes, else a part of the layer that it belongs to.
"""

__all__ = ["MeasuredCost", "exported", "measure_cost", "plan_with"]

import glob
import os
import platform
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from scipy.optimize import nnls

from quant.choose import choose
from quant.cost import CostTable, LayerCost, conversions, precision_bits
from quant.deploy import Deployment
from quant.graph import Graph, weight_of
from quant.kernel_place import Spent, mapped_share
from quant.kernel_times import KernelTime, kernel_times
from quant.layers import Layer, layers, source_of
from quant.numbered import Mark, numbered
from quant.plan import Plan
from quant.profile import Profile
from quant.recipe import Recipe, Rule
from quant.target import Target
from quant.work import Work, batch_of, elements_of, sized, works

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class MeasuredCost:
    """A cost table of this machine, and how much of the time it accounts for.

    Attributes:
        table: The costs of one sample.
        mapped: By model ("float32", "int8", "mixed") the share of its time that belongs to a layer
            or to a conversion, 0 to 1.
        totals: By model the sum of its kernels in milliseconds of one inference.
    """

    table: CostTable
    mapped: Mapping[str, float]
    totals: Mapping[str, float]


def measure_cost(
    graph: Graph,
    profile: Profile,
    target: Target,
    feeds: Mapping[str, Array],
    *,
    runtime: str = "onnxruntime",
    threads: int = 1,
    rounds: int = 15,
) -> MeasuredCost:
    """Measure each layer at float32 and at the target's integers, and what conversions cost.

    Args:
        graph: The prepared graph.
        profile: Of it; its ranges only decide where a quantizer rounds, not what it costs.
        target: One whose `model.onnx` the runtime executes.
        feeds: By input name the tensors of one inference.
        runtime: "onnxruntime" or "openvino".
        threads: Threads inside one operator; 0 for all cores.
        rounds: How often each model runs.

    Raises:
        UnsupportedError: The runtime is not installed or refuses a model.
    """
    mixed = [n for i, n in enumerate(_weighted(graph)) if i % 2]
    plans = {
        "int8": plan_with(graph, profile, target, ()),
        "mixed": plan_with(graph, profile, target, mixed),
    }
    models = {"float32": graph.model}
    models |= {name: exported(graph, plan, target) for name, plan in plans.items()}
    copies = {name: numbered(model, graph) for name, model in models.items()}
    times = kernel_times(
        {name: copy.model for name, copy in copies.items()},
        {n: {c.inputs[k]: x for k, x in feeds.items()} for n, c in copies.items()},
        runtime=runtime,
        threads=threads,
        rounds=rounds,
    )
    precisions = {
        "float32": {x.name: "float32" for x in layers(graph)},
        **{n: {k: x.precision for k, x in plan.layers.items()} for n, plan in plans.items()},
    }
    fixed = sized(graph, {name: tuple(x.shape) for name, x in feeds.items()})
    device = f"{runtime} {version(runtime)}, {_cpu()}, {threads or os.cpu_count()} threads"
    table = _table(fixed, target, times, precisions, device)
    return MeasuredCost(
        table=table,
        mapped={name: mapped_share(found) for name, found in times.items()},
        totals={name: sum(k.milliseconds for k in found) for name, found in times.items()},
    )


def plan_with(graph: Graph, profile: Profile, target: Target, floats: Collection[str]) -> Plan:
    """Return the target's plan with some layers in float32."""
    rules = tuple(Rule(match=glob.escape(n), precision="float32") for n in sorted(floats))
    return choose(graph, profile, target, recipe=Recipe(rules=rules), observer="minmax")


def exported(graph: Graph, plan: Plan, target: Target) -> ir.Model:
    """Return the `model.onnx` that a target's writer makes of a plan."""
    with tempfile.TemporaryDirectory() as folder:
        target.write(graph, plan, Path(folder), Deployment())
        model = ir.load(Path(folder) / "model.onnx")
        return ir.external_data.load_to_model(model)


def _weighted(graph: Graph) -> list[str]:
    return [x.name for x in layers(graph) if weight_of(x.node) is not None]


def _cpu() -> str:
    """Return the processor's name, or its architecture where no file tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    named = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return named[0] if named else platform.machine()


def _table(
    fixed: Graph,
    target: Target,
    times: Mapping[str, list[KernelTime]],
    precisions: Mapping[str, Mapping[str, str]],
    device: str,
) -> CostTable:
    """Put the costs together; `fixed` is the graph with the sizes that were measured."""
    rows = batch_of(fixed)
    counts = {name: elements_of(value) for name, value in fixed.values.items()}
    elements = {name: count // rows for name, count in counts.items() if count is not None}
    every = layers(fixed)
    done = {w.layer: w for w in works(fixed)}
    costs: dict[tuple[str, str], LayerCost] = {}
    samples: list[tuple[float, float, float]] = []
    for model, found in times.items():
        spent = Spent.of(found)
        changing = {
            t: precision_pair for t, *precision_pair in conversions(precisions[model], fixed)
        }
        for mark, spent_ms in spent.forms.items():
            name = _tensor(fixed, every, mark)
            if name in changing:
                before, after = (precision_bits(p)[1] for p in changing[name])
                samples.append((elements.get(name, 0) * (before + after) / 8, 1.0, spent_ms / rows))
            elif mark is not None and mark.kind == "tensor":
                spent.layers[mark.index] += spent_ms  # type: ignore[assignment]
            elif model != "float32":
                samples.append((0.0, 0.0, spent_ms / rows))
        if model in ("float32", "int8"):
            for index, layer in enumerate(every):
                costs[layer.name, model] = _cost(
                    done[layer.name], model, float(spent.layers[index]) / rows
                )
    byte_ms, convert_ms = _conversion(samples)
    return CostTable(
        target=target.name,
        device=device,
        layers=costs,
        assumptions=_assumptions(times, device),
        elements=elements,
        byte_ms=byte_ms,
        convert_ms=convert_ms,
    )


def _tensor(graph: Graph, every: Sequence[Layer], mark: Mark | None) -> str | None:
    """Return the tensor whose form a mark is about, under the name that conversions know it by."""
    if mark is None:
        return None
    if mark.kind == "input":
        return str(graph.inputs[mark.index].name) if mark.index < len(graph.inputs) else None
    return source_of(graph, str(every[mark.index].output.name))


def _cost(work: Work, precision: str, milliseconds: float) -> LayerCost:
    weight, activation = precision_bits(precision)
    weights = -(-work.weights * weight // 8)
    bias = work.biases * (32 if precision == "int8" else activation) // 8
    return LayerCost(
        layer=work.layer,
        op=work.op,
        precision=precision,
        macs=work.macs,
        bytes=weights + bias + work.activations * activation // 8 + work.other_bytes,
        weight_bytes=weights,
        milliseconds=milliseconds,
        bound="measured",
        operations=work.operations,
    )


def _conversion(samples: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Return milliseconds a byte and a conversion: least squares, neither below 0, the sum kept."""
    rows = np.array(samples, np.float64).reshape(-1, 3)
    if not rows[:, 0].any():
        return 0.0, 0.0
    scale = rows[:, :2].max(axis=0)
    found = nnls(rows[:, :2] / scale, rows[:, 2])[0] / scale
    told = float((rows[:, :2] @ found).sum())
    ratio = float(rows[:, 2].sum()) / told if told else 0.0
    return float(found[0]) * ratio, float(found[1]) * ratio


def _assumptions(times: Mapping[str, list[KernelTime]], device: str) -> tuple[str, ...]:
    share = min(mapped_share(found) for found in times.values())
    return (
        (
            f"Measured with the profiler of {device}: lower quartiles of the rounds, models in turns; "
            f"{100 * share:.1f} % of the time or more belongs to a layer or a conversion."
        ),
        (
            "What a runtime computes inside another layer (a sum in its convolution) takes 0 ms by "
            "itself; conversions are fitted to the export with every second weighted layer in float."
        ),
    )

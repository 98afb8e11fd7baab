"""The certificate of a run: its simulations compared with every installed runtime, in integers.

Both models return the outputs of their quantizers. These are integers, so two of them are equal, off
by one step, or off by more, and no tolerance is needed. Returning a quantizer's output does not change
ONNX Runtime's integer kernels, because that output is what a fused kernel writes.
"""

__all__ = [
    "LayerParity",
    "certificate_text",
    "count_steps",
    "parity_csv",
    "quantizer_outputs",
    "runtimes_of",
    "verify_run",
]

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.calibration import Batch, batches, open_data, split
from quant.calibration.sources.data import input_specs
from quant.common.errors import InputError, reason_of
from quant.common.files import atomic, write_json, write_text
from quant.gate.candidate import open_candidate
from quant.gate.evidence import AGAIN, read_run
from quant.graph.prepared_graph import Graph, named_values
from quant.graph.session import open_simulation
from quant.metrics.squared_error import SquaredError
from quant.plan.file import load_plan
from quant.plan.tensor_plans import Plan
from quant.preprocess.image_to_tensor import Preprocess
from quant.runtimes.runtime import Runtime
from quant.target.table import TARGETS

Array = NDArray[Any]

BATCH = 16
"""Samples in one inference, where the graph takes any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerParity:
    """One layer's output in a runtime compared with that in the simulation.

    Attributes:
        layer: The layer that writes the tensor; the tensor's own name for a graph input.
        tensor: Name of the tensor in the prepared graph.
        elements: Number of compared elements.
        off_by_one: Number of elements that differ by one step.
        off_by_more: Number of elements that differ by more than one step.
        largest: The greatest difference in steps.
    """

    layer: str
    tensor: str
    elements: int
    off_by_one: int
    off_by_more: int
    largest: int

    @property
    def share(self) -> float:
        """The share of elements that differ at all, 0 to 1."""
        return (self.off_by_one + self.off_by_more) / max(self.elements, 1)


def quantizer_outputs(model: ir.Model, plan: Plan) -> dict[str, str]:
    """Return the name of the quantizer's output in a model for each activation of the plan.

    Tensors that no node of the model quantizes are left out: weights, and folded tensors.
    """
    values = named_values(model)
    outputs = {}
    for tensor in plan.quantized:
        for name in (tensor.tensor, f"{tensor.tensor}_float"):
            value = values.get(name)
            uses = list(value.uses()) if value is not None and tensor.kind == "activation" else []
            quantizers = [u.node for u in uses if u.node.op_type == "QuantizeLinear" and u.idx == 0]
            if len(quantizers) == 1:
                outputs[tensor.tensor] = str(quantizers[0].outputs[0].name)
    return outputs


def count_steps(a: Array, b: Array) -> tuple[int, int, int]:
    """Return how many integers differ by one, how many by more, and the greatest difference."""
    steps = np.abs(a.astype(np.int64) - b.astype(np.int64))
    by_one = int(np.count_nonzero(steps == 1))
    return by_one, int(np.count_nonzero(steps)) - by_one, int(steps.max(initial=0))


def parity_csv(rows: Sequence[LayerParity]) -> str:
    """Return the content of `verify_<runtime>.csv`: a header and one row per layer."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [f.name for f in fields(LayerParity)]
    writer.writerow(names)
    writer.writerows([[_cell(getattr(row, n)) for n in names] for row in rows])
    return out.getvalue()


def _cell(value: object) -> str:
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


def runtimes_of(target: str) -> list[Runtime]:
    """Return the installed runtimes that execute a target's main file, its own first."""
    return [r for r in TARGETS[target].runtimes if r.version is not None]


def verify_run(
    folder: Path, *, data: str | None = None, samples: int = 32, threads: int = 0
) -> dict[str, Any]:
    """Compare simulation and runtimes, and return the certificates by target.

    They are written into `run.json` too, and the layers into `<target>/verify_<runtime>.csv`.

    Args:
        folder: Folder of the run.
        data: Where the run's data is now; None where it has not moved.
        samples: Number of held-out samples to run.
        threads: Threads inside one operator; 0 for all cores.

    Raises:
        InputError: The folder holds no run, its files do not belong together, or the data is gone.
    """
    if samples < 1:
        raise InputError(f"--samples: must be 1 or more, saw {samples}. Raise it.")
    run = read_run(folder)
    facts = dict(run.facts)
    graph = Graph(ir.load(folder / "prepared.onnx"), facts["model"]["name"], str(folder))
    held_out = _samples(graph, facts, data, samples)
    certificates: dict[str, list[dict[str, Any]]] = {}
    for name in run.targets:
        plan = load_plan(folder / name / "plan.json")
        certificates[name] = []
        written = facts["targets"][name].get("files")  # none of a plan that is only simulated
        for runtime in runtimes_of(name) if written else ():
            simulated, model = folder / name / "simulated.onnx", folder / name / written[0]
            exported = _Exported(graph=graph, plan=plan, simulated=simulated, model=model)
            rows, gap = _compared(exported, runtime, held_out, threads)
            write_text(folder / name / f"verify_{runtime.name}.csv", parity_csv(rows))
            count = sum(batch.count for batch in held_out)
            certificates[name].append(
                {
                    "runtime": runtime.name,
                    "version": runtime.version,
                    "samples": count,
                    **_sum(rows),
                    **gap,
                }
            )
        facts["targets"][name]["verified"] = certificates[name]
    write_json(folder / "run.json", facts)
    return certificates


def _samples(graph: Graph, facts: Mapping[str, Any], data: str | None, count: int) -> list[Batch]:
    """Return the first of the run's held-out samples, or of those that calibrated."""
    source = data if data is not None else str(facts["data"]["source"])
    if data is None and ": " in source and not Path(source).exists():
        raise InputError(
            f"quant verify: the samples of this run were in memory ({source}). Save them as a .npy "
            "or .npz file, and give --data."
        )
    specs = input_specs(graph)
    samples = open_data(source, specs, Preprocess(**facts["preprocess"]), None)
    calibrated = facts["data"]["samples"] + len(facts["data"]["unreadable"])
    chosen = split(len(samples), calibrated, count, facts["settings"]["seed"])[1]
    fixed = [s.shape[0] for s in specs if s.shape and s.shape[0] is not None]
    return list(batches(samples, chosen, fixed[0] if fixed else BATCH, bad=[], max_bad=0.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exported:
    """A target's simulation and main file, and the graph and the plan they were made from."""

    graph: Graph
    plan: Plan
    simulated: Path
    model: Path


def _compared(
    exported: _Exported, runtime: Runtime, samples: Sequence[Batch], threads: int
) -> tuple[list[LayerParity], dict[str, float]]:
    """Return the parity of each layer, and the difference of the outputs."""
    graph = exported.graph
    inputs, outputs = ([str(v.name) for v in values] for values in (graph.inputs, graph.outputs))
    deployed = open_candidate(exported.model, inputs, outputs, runtime, threads)
    if exported.model.suffix != ".onnx":  # only an ONNX graph can return its quantizers' outputs
        session = open_simulation(_loaded(exported.simulated), threads)
        return [], _difference(session, deployed, outputs, samples)
    models = [_loaded(path) for path in (exported.simulated, exported.model)]
    quantizers = [quantizer_outputs(model, exported.plan) for model in models]
    shared = [name for name in quantizers[0] if name in quantizers[1]]
    names = [[*outputs, *(of[n] for n in shared)] for of in quantizers]
    for model, returned in zip(models, names, strict=True):
        _add_outputs(model, returned)
    session = open_simulation(models[0], threads)
    # a runtime reads a file; nothing of it stays
    with atomic(exported.model.with_name(".verified.onnx")) as scratch:
        ir.save(models[1], scratch)
        candidate = open_candidate(scratch, inputs, names[1], runtime, threads)
        scratch.unlink()
    total = np.zeros((len(shared), 4), np.int64)
    for batch in samples:
        ours, theirs = (
            [batch.samples(x) for x in s.run(n, batch.feeds)]
            for s, n in zip((session, candidate), names, strict=True)
        )
        for i, (a, b) in enumerate(list(zip(ours, theirs, strict=True))[len(outputs) :]):
            by_one, by_more, largest = count_steps(a, b)
            total[i] += (a.size, by_one, by_more, 0)
            total[i, 3] = max(int(total[i, 3]), largest)
    layer_of = {str(v.name): layer.name for layer in graph.layers for v in layer.outputs}
    rows = [
        LayerParity(
            layer=layer_of.get(name, name),
            tensor=name,
            elements=int(count),
            off_by_one=int(by_one),
            off_by_more=int(by_more),
            largest=int(largest),
        )
        for name, (count, by_one, by_more, largest) in zip(shared, total, strict=True)
    ]
    return rows, _difference(session, deployed, outputs, samples)


def _difference(
    session: Any, deployed: Any, names: Sequence[str], samples: Sequence[Batch]
) -> dict[str, float]:
    """Return the difference between the simulation's outputs and those of the deployed model."""
    error = SquaredError()
    for batch in samples:
        pairs = zip(session.run(names, batch.feeds), deployed.run(names, batch.feeds), strict=True)
        for a, b in pairs:
            error += SquaredError.of(batch.samples(a), batch.samples(b))
    return {"sqnr_db": error.sqnr_db, "largest": error.largest}


def _loaded(path: Path) -> ir.Model:
    try:
        return ir.load(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {reason_of(error)}. {AGAIN}.") from error


def _add_outputs(model: ir.Model, names: Sequence[str]) -> None:
    values = named_values(model)
    present = {str(v.name) for v in model.graph.outputs}
    for name in dict.fromkeys(names):
        if name not in present:
            model.graph.outputs.append(values[name])


def _sum(rows: Sequence[LayerParity]) -> dict[str, Any]:
    """Return the numbers of a certificate over all layers, and the worst layer."""
    elements = max(sum(row.elements for row in rows), 1)
    worst = max(
        rows, key=lambda row: (row.off_by_more / max(row.elements, 1), row.share), default=None
    )
    return {
        "layers": len(rows),
        "exact_layers": sum(row.share == 0 for row in rows),
        "off_by_one": sum(row.off_by_one for row in rows) / elements,
        "off_by_more": sum(row.off_by_more for row in rows) / elements,
        "largest_steps": max((row.largest for row in rows), default=0),
        "worst_layer": worst.layer if worst is not None and worst.share > 0 else None,
    }


def certificate_text(certificates: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return a few lines for each target and runtime, the verdict in the first of them."""
    lines = []
    for target, of_target in certificates.items():
        if not of_target:
            lines.append(
                f"{target}: not verified, because no runtime for its files is installed here"
            )
        for row in of_target:
            lines.append(
                f"{target} in {row['runtime']} {row['version']}, {row['samples']} samples: "
                f"{_verdict(row)}"
            )
            lines.append(
                f"  integers off by one step: {100 * row['off_by_one']:.4f} %, by more: "
                f"{100 * row['off_by_more']:.4f} %, at most {row['largest_steps']} steps; outputs "
                f"{row['sqnr_db']:.1f} dB, largest difference {row['largest']:.3g}"
            )
            if row["worst_layer"] is not None:
                path = f"{target}/verify_{row['runtime']}.csv"
                lines.append(f"  worst layer '{row['worst_layer']}'; all layers: {path}")
    return "\n".join(lines)


def _verdict(row: Mapping[str, Any]) -> str:
    """Return the verdict of a certificate: exact, equal up to rounding, or different."""
    exact, layers = row["exact_layers"], row["layers"]
    if not layers:
        return "only the outputs could be compared"
    if exact == layers:
        return f"exact, all {layers} layers are equal in every bit"
    if not row["off_by_more"]:
        return f"equal up to rounding by one step, {exact} of {layers} layers in every bit"
    return f"different in some integers, {exact} of {layers} layers are equal in every bit"

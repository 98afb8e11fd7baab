"""Verifying: the simulations of a run against every runtime at hand, and the certificate of it.

A quantizer's own output is asked for, on both sides: int8 numbers, so that two of them are equal, or
off by one step, or by more, and no tolerance is needed. Asking for a quantizer's output leaves
ONNX Runtime's integer kernels as they are, for that output is what a fused kernel writes.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerParity:
    """One layer's output in a runtime against the simulation's.

    Attributes:
        layer: The layer that makes the tensor; the tensor's own name for a graph input.
        tensor: In the prepared graph.
        elements: How many were compared.
        off_by_one: How many differ by one step.
        off_by_more: How many differ by more.
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
    """Return for each activation of the plan the name of its quantizer's output in a model.

    Tensors that the model's nodes do not quantize are left out: weights, and what was folded.
    """
    values = named_values(model)
    found = {}
    for tensor in plan.quantized:
        for name in (tensor.tensor, f"{tensor.tensor}_float"):
            value = values.get(name)
            uses = list(value.uses()) if value is not None and tensor.kind == "activation" else []
            made = [u.node for u in uses if u.node.op_type == "QuantizeLinear" and u.idx == 0]
            if len(made) == 1:
                found[tensor.tensor] = str(made[0].outputs[0].name)
    return found


def count_steps(a: Array, b: Array) -> tuple[int, int, int]:
    """Return how many integers differ by one, how many by more, and the greatest difference."""
    away = np.abs(a.astype(np.int64) - b.astype(np.int64))
    one = int(np.count_nonzero(away == 1))
    return one, int(np.count_nonzero(away)) - one, int(away.max(initial=0))


def parity_csv(rows: Sequence[LayerParity]) -> str:
    """Return `verify.csv`: a header and a row a layer."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [f.name for f in fields(LayerParity)]
    writer.writerow(names)
    writer.writerows([[_cell(getattr(row, n)) for n in names] for row in rows])
    return out.getvalue()


def _cell(value: object) -> str:
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


ROWS = 16
"""Samples in one inference, where the graph takes any number."""


def runtimes_of(target: str) -> list[Runtime]:
    """Return the runtimes at hand that execute a target's main file, its own before others."""
    return [r for r in TARGETS[target].runtimes if r.version is not None]


def verify_run(
    folder: Path, *, data: str | None = None, samples: int = 32, threads: int = 0
) -> dict[str, Any]:
    """Compare, and return the certificates by target, which are written into `run.json` too.

    Args:
        folder: Of the run.
        data: Where its data is now; None for where it was.
        samples: How many held-out samples to run.
        threads: Threads inside one operator; 0 for all cores.

    Raises:
        InputError: It is no run, its files do not belong together, or its data is gone.
    """
    if samples < 1:
        raise InputError(f"--samples: must be 1 or more, saw {samples}. Raise it.")
    run = read_run(folder)
    facts = dict(run.facts)
    graph = Graph(ir.load(folder / "prepared.onnx"), facts["model"]["name"], str(folder))
    some = _samples(graph, facts, data, samples)
    made: dict[str, list[dict[str, Any]]] = {}
    for name in run.targets:
        plan = load_plan(folder / name / "plan.json")
        made[name] = []
        written = facts["targets"][name].get("files")  # none of a plan that is only simulated
        for runtime in runtimes_of(name) if written else ():
            paths = (folder / name / "simulated.onnx", folder / name / written[0])
            rows, gap = _compared(graph, plan, paths, runtime, some, threads)
            write_text(folder / name / f"verify_{runtime.name}.csv", parity_csv(rows))
            count = sum(batch.count for batch in some)
            made[name].append(
                {
                    "runtime": runtime.name,
                    "version": runtime.version,
                    "samples": count,
                    **_sum(rows),
                    **gap,
                }
            )
        facts["targets"][name]["verified"] = made[name]
    write_json(folder / "run.json", facts)
    return made


def _samples(graph: Graph, facts: Mapping[str, Any], data: str | None, count: int) -> list[Batch]:
    """Return the first of the run's held-out samples, or of those that calibrated."""
    source = data if data is not None else str(facts["data"]["source"])
    specs = input_specs(graph)
    held = open_data(source, specs, Preprocess(**facts["preprocess"]), None)
    known = facts["data"]["samples"] + len(facts["data"]["unreadable"])
    chosen = split(len(held), known, count, facts["settings"]["seed"])[1]
    fixed = [s.shape[0] for s in specs if s.shape and s.shape[0] is not None]
    return list(batches(held, chosen, fixed[0] if fixed else ROWS, bad=[], max_bad=0.5))


def _compared(
    graph: Graph,
    plan: Plan,
    paths: tuple[Path, Path],
    runtime: Runtime,
    some: Sequence[Batch],
    threads: int,
) -> tuple[list[LayerParity], dict[str, float]]:
    """Return each layer's parity, and what reaches the outputs."""
    outputs = [str(v.name) for v in graph.outputs]
    inputs = [str(v.name) for v in graph.inputs]
    alone = open_candidate(paths[1], inputs, outputs, runtime, threads)
    if paths[1].suffix != ".onnx":  # only an ONNX graph can be asked for its quantizers' outputs
        return [], _gap(open_simulation(_loaded(paths[0]), threads), alone, outputs, some)
    models = [_loaded(path) for path in paths]
    taps = [quantizer_outputs(model, plan) for model in models]
    shared = [name for name in taps[0] if name in taps[1]]
    wanted = [[*outputs, *(tap[n] for n in shared)] for tap in taps]
    for model, names in zip(models, wanted, strict=True):
        _add_outputs(model, names)
    session = open_simulation(models[0], threads)
    # a runtime reads a file; nothing of it stays
    with atomic(paths[1].with_name(".verified.onnx")) as scratch:
        ir.save(models[1], scratch)
        rival = open_candidate(scratch, inputs, wanted[1], runtime, threads)
        scratch.unlink()
    total = np.zeros((len(shared), 4), np.int64)
    for batch in some:
        ours, theirs = (
            s.run(w, batch.feeds) for s, w in zip((session, rival), wanted, strict=True)
        )
        ours, theirs = ([batch.samples(x) for x in outputs_] for outputs_ in (ours, theirs))
        for i, (a, b) in enumerate(list(zip(ours, theirs, strict=True))[len(outputs) :]):
            one, more, most = count_steps(a, b)
            total[i] += (a.size, one, more, 0)
            total[i, 3] = max(int(total[i, 3]), most)
    named = {str(v.name): layer.name for layer in graph.layers for v in layer.outputs}
    rows = [
        LayerParity(
            layer=named.get(name, name),
            tensor=name,
            elements=int(count),
            off_by_one=int(one),
            off_by_more=int(more),
            largest=int(most),
        )
        for name, (count, one, more, most) in zip(shared, total, strict=True)
    ]
    return rows, _gap(session, alone, outputs, some)


def _gap(session: Any, rival: Any, names: Sequence[str], some: Sequence[Batch]) -> dict[str, float]:
    """Return how far the outputs of the graph as it is deployed, without taps, are away."""
    error = SquaredError()
    for batch in some:
        pairs = zip(session.run(names, batch.feeds), rival.run(names, batch.feeds), strict=True)
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
    known = {str(v.name) for v in model.graph.outputs}
    for name in dict.fromkeys(names):
        if name not in known:
            model.graph.outputs.append(values[name])


def _sum(rows: Sequence[LayerParity]) -> dict[str, Any]:
    """Return what a certificate says of all layers together, and of the worst."""
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


def certificate_text(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return a few lines for each target and runtime."""
    lines = []
    for target, certificates in found.items():
        if not certificates:
            lines.append(f"{target}: no runtime of it is at hand; its simulation is not verified")
        for one in certificates:
            lines.append(
                f"{target} in {one['runtime']} {one['version']}, {one['samples']} samples: "
                f"{one['exact_layers']} of {one['layers']} layers equal in every bit"
            )
            lines.append(
                f"  integers off by one step: {100 * one['off_by_one']:.4f} %, by more: "
                f"{100 * one['off_by_more']:.4f} %, at most {one['largest_steps']} steps; outputs "
                f"{one['sqnr_db']:.1f} dB, largest difference {one['largest']:.3g}"
            )
            if one["worst_layer"] is not None:
                csv = f"{target}/verify_{one['runtime']}.csv"
                lines.append(f"  worst layer '{one['worst_layer']}'; all of them: {csv}")
    return "\n".join(lines)

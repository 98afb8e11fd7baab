"""What the tests of plans share: a prepared graph, its profile on seeded samples, and its plan."""

__all__ = [
    "batch_of",
    "chosen",
    "grids",
    "inputs",
    "prepared",
    "profiled",
    "quantized_names",
    "run",
]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from quant.calibration.profiling.run_profile import profile
from quant.calibration.profiling.statistics_graph import micro_batch, profiled_tensors
from quant.choose.planner import Planner
from quant.compare.batch import Batch
from quant.graph.prepared_graph import Graph
from quant.graph.session import FLOAT_KERNELS, open_session
from quant.load.prepare import prepare
from quant.plan.recipe import NOTHING, Recipe
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.target.table import TARGETS

SAMPLES = 8


def prepared(proto: onnx.ModelProto) -> Graph:
    """Return the graph that plans speak about."""
    return prepare(ir.from_proto(proto), "net", "net.onnx")


def batch_of(feeds: Mapping[str, NDArray[Any]], size: int) -> Batch:
    """Return all rows of these arrays as one batch of `size` rows, the last one repeated."""
    count = len(next(iter(feeds.values())))
    return Batch(
        keys=tuple(f"{i:03}" for i in range(count)),
        feeds={k: np.concatenate([v, *[v[-1:]] * (size - count)]) for k, v in feeds.items()},
        labels=(None,) * count,
        digests=(1,) * count,
        count=count,
    )


def inputs(graph: Graph, seed: int = 0, samples: int = SAMPLES) -> dict[str, NDArray[np.float32]]:
    """Return seeded normal samples for every input."""
    rng = np.random.default_rng(seed)
    shapes = {str(v.name): v.shape for v in graph.inputs}
    return {
        name: rng.normal(size=(samples, *[int(d) for d in list(shape or ())[1:]])).astype(  # type: ignore[call-overload]
            np.float32
        )
        for name, shape in shapes.items()
    }


def profiled(graph: Graph, feeds: Mapping[str, NDArray[Any]] | None = None) -> Profile:
    """Return the profile of a graph over its seeded samples, or over these."""
    held = dict(feeds) if feeds is not None else inputs(graph)
    size = micro_batch(graph, profiled_tensors(graph))
    count = len(next(iter(held.values())))
    parts = [
        batch_of({k: v[i : i + size] for k, v in held.items()}, size) for i in range(0, count, size)
    ]
    return profile(graph, parts, threads=1)


def chosen(
    proto: onnx.ModelProto,
    target: str = "onnxruntime",
    recipe: Recipe = NOTHING,
    observer: str | None = "minmax",
) -> tuple[Graph, Plan]:
    """Return the prepared graph and its plan."""
    graph = prepared(proto)
    plan = Planner(target=TARGETS[target], recipe=recipe, observer=observer).choose(
        graph, profiled(graph)
    )
    return graph, plan


def quantized_names(plan: Plan) -> set[str]:
    """Return the activations that have a grid."""
    return {t.tensor for t in plan.quantized if t.kind == "activation"}


def grids(plan: Plan, names: Sequence[str]) -> set[tuple[float, int]]:
    """Return the different grids of these per-tensor activations."""
    found = [plan.tensors[n].params for n in names]
    return {(float(p.scale), int(p.zero_point)) for p in found if p is not None}


def run(
    model: ir.Model, feeds: Mapping[str, NDArray[Any]], *, integer: bool = False
) -> list[NDArray[Any]]:
    """Return a model's outputs from ONNX Runtime, quantizers simulated in float or fused."""
    entries = {} if integer else FLOAT_KERNELS
    session = open_session(model, threads=1, optimize=integer, entries=entries)
    made: list[NDArray[Any]] = session.run(None, dict(feeds))
    return made

"""What the tests of reports share: a run's folder as the main job leaves it, made without its data."""

__all__ = ["HOSTILE", "hostile", "make_run", "measured"]

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from quant.analysis.analyse import Analysis, analyse
from quant.analysis.cumulative import cumulative
from quant.analysis.file import save_analysis
from quant.analysis.isolated import isolated_errors
from quant.analysis.layer_error import LayerError, layer_csv
from quant.analysis.layer_table import layer_macs, layer_table, measured_layers
from quant.analysis.local import local_errors
from quant.analysis.measured_errors import MeasuredErrors
from quant.choose.planner import Planner
from quant.common.files import write_json, write_text
from quant.compare.batch import Batch
from quant.graph.prepared_graph import Graph
from quant.plan.file import save_plan
from quant.plan.planned_graph import PlannedGraph
from quant.plan.recipe import NOTHING, Recipe
from quant.plan.tensor_plans import Plan
from quant.preprocess.image_to_tensor import Preprocess
from quant.profile.file import save_profile
from quant.profile.statistics import Profile
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS
from tests.chosen import batch_of, inputs, prepared, profiled

HOSTILE = (
    "</script><script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    "{{ 7 * 7 }}{% raw %}",
    "'\"><svg onload=alert(1)>",
    "line\nbreak\u202egnp.\u2028$(rm -rf ~)`id`",
)
"""Names that a stranger's model may bring."""


def hostile(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with hostile names for its nodes and what they make."""
    renamed: dict[str, str] = {}
    for number, node in enumerate(proto.graph.node):
        node.name = f"{HOSTILE[number % len(HOSTILE)]}{number}"
        for index, name in enumerate(node.output):
            if name not in {o.name for o in proto.graph.output}:
                renamed[name] = node.output[index] = f"{name}{HOSTILE[(number + 1) % len(HOSTILE)]}"
    for node in proto.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    return proto


def measured(
    graph: Graph, plan: Plan, profile: Profile, batches: Sequence[Batch]
) -> tuple[list[LayerError], Analysis]:
    """Return the layer table and the analysis, as the main job makes them."""
    model = quantize_graph(graph, plan, TARGETS[plan.target], weight_form="integer")
    layers = measured_layers(graph, plan)
    together = cumulative(graph, model, layers, batches, 1)
    alone = isolated_errors(graph, model, layers, batches, 1)
    local = local_errors(graph, model, layers, batches, 1)
    keys = [key for batch in batches for key in batch.keys]
    keys = [f"{key} {HOSTILE[n % len(HOSTILE)]}.jpg" for n, key in enumerate(keys)]
    planned = PlannedGraph(graph=graph, plan=plan, profile=profile)
    errors = MeasuredErrors(isolated=alone, cumulative=together, local=local)
    analysis = analyse(planned, layers, keys, errors)
    sizes = {str(k): tuple(v.shape) for k, v in batches[0].feeds.items()}
    counts = layer_macs(graph, sizes)
    return layer_table(planned, errors, counts), analysis


def make_run(
    folder: Path,
    proto: onnx.ModelProto,
    targets: Sequence[str] = ("onnxruntime", "tensorrt"),
    recipe: Recipe = NOTHING,
    **facts: Any,
) -> Path:
    """Write a run of a model on eight seeded samples; `facts` go over those of `run.json`."""
    graph = prepared(proto)
    feeds = inputs(graph)
    profile = profiled(graph, feeds)
    graph.save(folder / "prepared.onnx")
    save_profile(profile, folder / "profile.safetensors")
    told = {}
    for name in targets:
        plan = Planner(target=TARGETS[name], recipe=recipe, observer="minmax").choose(
            graph, profile
        )
        rows, analysis = measured(graph, plan, profile, [batch_of(feeds, len(feeds["input"]))])
        save_plan(plan, folder / name / "plan.json")
        write_text(folder / name / "layers.csv", layer_csv(rows))
        save_analysis(analysis, folder / name / "analysis.safetensors")
        worst = float(np.nanmin([r.cumulative_sqnr_db for r in rows]))
        told[name] = {
            "layers": {
                "integer": len(rows),
                "weighted": 3,
                "weighted_integer": 3,
                "all": 5,
                "by_precision": {"int8": 3},
            },
            "simulated": {
                "samples": 8,
                "sqnr_db": worst,
                "agreement": 0.95,
                "scores": {},
                "float_scores": {},
                "outputs": [],
            },
            "check": {"error": 0, "warning": 1, "info": 0},
            "observers_db": {},
            "effort": [],
        }
    write_json(
        folder / "run.json",
        {
            "schema": 1,
            "version": "0",
            "model": {
                "name": graph.name,
                "source": graph.source,
                "fingerprint": graph.fingerprint,
                "notes": [],
                "parity": 0.0,
            },
            "data": {
                "source": "d",
                "samples": 8,
                "measured": 8,
                "held_out": True,
                "digest": "0",
                "unreadable": [],
            },
            "preprocess": Preprocess().describe(),
            "settings": {"seed": 0, "recipe": None},
            "targets": told,
            "warnings": [],
        }
        | facts,
    )
    return folder

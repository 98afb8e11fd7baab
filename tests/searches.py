"""What the tests of a search's pictures share: a run with a real small search in each target."""

__all__ = ["edited", "make_searched", "searched"]

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from quant.choose.planner import Planner
from quant.common.files import write_json
from quant.common.progress import Progress
from quant.compare.batch import Batch
from quant.compare.float_reference import FloatReference
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session
from quant.job.search_goal import SearchGoal
from quant.job.settings import Job
from quant.preprocess.image_to_tensor import Preprocess
from quant.profile.statistics import Profile
from quant.results.saved_run import load_run
from quant.search.cost_source import cost_table
from quant.search.target_search import SearchInputs, TargetSearch, search_target
from quant.search.write_files import write_search
from quant.target.table import TARGETS
from tests.chosen import batch_of, inputs
from tests.runs import make_run


def searched(folder: Path, name: str, graph: Graph, profile: Profile, batch: Batch) -> TargetSearch:
    """Search one target for the cheapest plan of 44 dB, and write what it leaves."""
    target = TARGETS[name]
    goal = SearchGoal(min_sqnr=44.0, samples=4)
    job = Job(model="", data="", out=folder, preprocess=Preprocess(), goal=goal)

    search_inputs = SearchInputs(
        graph=graph,
        profile=profile,
        planner=Planner(target=target, observer="minmax"),
        effort="fast",
        table=cost_table(graph, target, job, [batch]),
        goal=goal,
        reference=FloatReference(
            session=open_session(graph.model, threads=1), batches=[batch], threads=1
        ),
        metrics=(),
        folder=folder,
    )
    found = search_target(search_inputs, Progress(quiet=True))
    write_search(found, folder)
    return found


def make_searched(
    folder: Path,
    proto: onnx.ModelProto,
    targets: tuple[str, ...] = ("onnxruntime", "tensorrt"),
    **facts: Any,
) -> Path:
    """Write a run as `make_run` does, with a search for each target."""
    make_run(folder, proto, targets, **facts)
    run = load_run(folder)
    feeds = inputs(run.graph)
    batch = batch_of(feeds, len(feeds["input"]))
    for name in targets:
        searched(folder / name / "search", name, run.graph, run.profile, batch)
    said = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    for name in targets:
        said["targets"][name]["search"] = {}  # what shows that the run's plan was searched
    write_json(folder / "run.json", said)
    return folder


def edited(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change a `search.json` in place."""
    told = json.loads(path.read_text(encoding="utf-8"))
    change(told)
    write_json(path, told)
    return path

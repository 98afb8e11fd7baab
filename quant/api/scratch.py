"""Objects in memory as files, for stages that read files; the files are gone afterwards."""

__all__ = ["plan_file", "planned", "profile_file", "profile_of", "two_models"]

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx

from quant.api.arguments import (
    data_of,
    labels_of,
    metrics_of,
    model_of,
    name_of,
    path_of,
    preprocess_of,
)
from quant.gate.two_models import TwoModels
from quant.graph.prepared_graph import Graph
from quant.load.given_model import GivenModel
from quant.load.open_graph import open_graph
from quant.plan.file import load_plan, save_plan
from quant.plan.fitted_graph import graph_for
from quant.plan.tensor_plans import Plan
from quant.profile.file import load_profile, save_profile
from quant.profile.statistics import Profile


def profile_of(profile: Any, what: str) -> tuple[Profile, str]:
    """Return a profile and its place for messages: its path, or `what` it is."""
    if isinstance(profile, Profile):
        return profile, what
    path = path_of(profile, what)
    return load_profile(path), str(path)


@contextmanager
def profile_file(profile: Any) -> Iterator[Path | None]:
    """Yield the path of a profile; None for None."""
    if not isinstance(profile, Profile):
        yield None if profile is None else path_of(profile, "profile")
        return
    with tempfile.TemporaryDirectory(prefix="quant-") as folder:
        path = Path(folder, "profile.safetensors")
        save_profile(profile, path)
        yield path


@contextmanager
def plan_file(plan: Any) -> Iterator[Path]:
    """Yield the path of a plan."""
    if not isinstance(plan, Plan):
        yield path_of(plan, "plan")
        return
    with tempfile.TemporaryDirectory(prefix="quant-") as folder:
        path = Path(folder, "plan.json")
        save_plan(plan, path)
        yield path


def planned(path: Path, model: Any, example_inputs: Any) -> tuple[Plan, Graph]:
    """Return the plan in a file and the graph that it is about."""
    plan = load_plan(path)
    return plan, graph_for(plan, path, open_graph(model_of(model, example_inputs))[1])


@contextmanager
def two_models(asked: Mapping[str, Any]) -> Iterator[TwoModels]:
    """Yield the two models of the arguments of `compare` or `gate`.

    Raises:
        InputError: An argument is of a wrong kind.
    """
    rest = dict(asked)
    candidate, labels = rest.pop("candidate"), rest.pop("labels")
    reference = model_of(rest.pop("reference"), rest.pop("example_inputs"))
    settings: dict[str, Any] = {
        "reference": reference,
        "data": data_of(rest.pop("data"), labels, rest["samples"]),
        "labels": labels_of(labels),
        "preprocess": preprocess_of(rest.pop("preprocess"), rest.pop("image")),
        "metrics": metrics_of(rest.pop("metrics")),
        **rest,
    }
    if not isinstance(candidate, onnx.ModelProto):
        yield TwoModels(candidate=path_of(candidate, "candidate"), **settings)
        return
    with tempfile.TemporaryDirectory(prefix="quant-") as folder:
        path = Path(folder, f"{name_of(GivenModel(candidate))}.onnx")
        onnx.save(candidate, path)
        yield TwoModels(candidate=path, **settings)

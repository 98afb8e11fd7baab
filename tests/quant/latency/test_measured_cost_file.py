"""Costs of a search: measured once on this machine and kept, a user's own, or a device's."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph
from quant.job.search_goal import Budget, SearchGoal
from quant.job.settings import Job
from quant.latency.measure import TimedNetwork
from quant.latency.measured_cost_file import measured_here
from quant.plan.tensor_plans import Plan
from quant.preprocess.image_to_tensor import Preprocess
from quant.profile.statistics import Profile
from quant.search.cost_source import cost_table
from quant.target.table import TARGETS
from tests.chosen import batch_of, chosen, inputs, profiled
from tests.models import conv_relu_net

ORT = TARGETS["onnxruntime"]


@pytest.fixture(scope="module")
def net() -> tuple[Graph, Plan, Profile]:
    graph, plan = chosen(conv_relu_net(), "onnxruntime")
    return graph, plan, profiled(graph)


def job(out: Path, goal: SearchGoal | None) -> Job:
    return Job(model="", data="", out=out, preprocess=Preprocess(), threads=1, goal=goal)


def test_times_are_measured_once_and_kept(net: tuple[Graph, Plan, Profile], tmp_path: Path) -> None:
    graph, plan, profile = net
    samples = [batch_of(inputs(graph), 8)]
    goal = SearchGoal(min_sqnr=20.0)
    first = cost_table(graph, ORT, job(tmp_path, goal), samples, profile)
    path = tmp_path / "onnxruntime" / "search" / "latency.json"
    before = path.read_bytes()
    again = cost_table(graph, ORT, job(tmp_path, goal), samples, profile)

    assert "onnxruntime" in first.device
    assert again == first
    assert path.read_bytes() == before
    for name in plan.layers:
        for precision, kernel in (("w4a8", "int8"), ("w8a16", "int8"), ("int8", "int8")):
            one, other = first.layers[name, precision], first.layers[name, kernel]
            assert (one.milliseconds, one.bound) == (other.milliseconds, "measured")
    conv = first.layers["conv2", "int8"], first.layers["conv2", "w4a8"]
    assert conv[0].weight_bytes == 2 * conv[1].weight_bytes == 16 * 8 * 9
    assert first.milliseconds(dict.fromkeys(plan.layers, Precision.FLOAT32), graph) > 0


def test_a_file_of_other_shapes_or_a_broken_one_is_not_believed(
    net: tuple[Graph, Plan, Profile], tmp_path: Path
) -> None:
    graph, _, profile = net
    path = tmp_path / "latency.json"
    base = cost_table(graph, ORT, job(tmp_path, None), [])
    feeds = {"input": inputs(graph)["input"][:1]}
    network = TimedNetwork(graph=graph, profile=profile, target=ORT, feeds=feeds)
    measured_here(network, base, path)
    told = json.loads(path.read_text("utf-8"))
    two = {"input": inputs(graph)["input"][:2]}
    measured_here(replace(network, feeds=two), base, path)

    assert json.loads(path.read_text("utf-8"))["key"] != told["key"]
    path.write_text("{", "utf-8")
    assert measured_here(replace(network, feeds=two), base, path) is not None
    assert json.loads(path.read_text("utf-8"))["format"] == "quant-latency-1"


def test_a_chip_that_this_machine_is_not_has_its_devices_times(
    net: tuple[Graph, Plan, Profile], tmp_path: Path
) -> None:
    graph, _, profile = net
    target = TARGETS["tensorrt"]
    goal = SearchGoal(min_sqnr=20.0)
    found = cost_table(graph, target, job(tmp_path, goal), [batch_of(inputs(graph), 8)], profile)

    assert found.device == "t4"
    assert not list(tmp_path.iterdir())
    other = SearchGoal(min_sqnr=20.0, device="xavier-nx")
    assert cost_table(graph, target, job(tmp_path, other), []).device == "xavier-nx"


def test_nothing_is_measured_where_time_is_not_paid(
    net: tuple[Graph, Plan, Profile], tmp_path: Path
) -> None:
    graph, _, profile = net
    goal = SearchGoal(budgets=(Budget(axis="size", most=1.0),))
    found = cost_table(graph, ORT, job(tmp_path, goal), [batch_of(inputs(graph), 8)], profile)

    assert not any(cost.milliseconds for cost in found.layers.values())
    assert found.assumptions == (
        "The time of a layer on ONNX Runtime is not known: it is no part of the cost.",
    )


def test_a_users_times_go_before_all(net: tuple[Graph, Plan, Profile], tmp_path: Path) -> None:
    graph, _, profile = net
    path = tmp_path / "times.csv"
    path.write_text("layer,precision,milliseconds\nconv1,int8,2.5\nconv1,float32,7\n", "utf-8")
    goal = SearchGoal(min_sqnr=20.0, latency=str(path))
    found = cost_table(graph, ORT, job(tmp_path, goal), [batch_of(inputs(graph), 8)], profile)

    assert found.layers["conv1", "int8"].milliseconds == 2.5
    assert found.layers["conv1", "float32"].milliseconds == 7
    assert found.layers["conv2", "float32"].milliseconds > 0, "scaled by what was measured"

"""What every target must keep, whoever wrote it: files that check, run, repeat and mean the same."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quant.choose.planner import Planner
from quant.deploy.target_folder import TargetFolder, WrittenTarget
from quant.graph.prepared_graph import Graph, weight_of
from quant.graph.session import open_simulation
from quant.plan.file import load_plan
from quant.plan.recipe import Recipe, Rule
from quant.preprocess.image_to_tensor import Preprocess
from quant.target.deployment import Deployment
from quant.target.finding import errors
from quant.target.table import TARGETS
from tests.chosen import chosen, inputs, prepared, profiled, run
from tests.models import IMAGE, concat_net, conv_relu_net, depthwise_net, gemm_net, residual_net

NETS = [concat_net, conv_relu_net, depthwise_net, gemm_net, residual_net]
EVERY_TARGET = pytest.mark.parametrize("target", list(TARGETS))
EVERY_NET = pytest.mark.parametrize("net", NETS)


def sqnr_db(wanted: np.ndarray, made: np.ndarray) -> float:  # type: ignore[type-arg]
    noise = (wanted.astype(np.float64) - made) ** 2
    return float(10 * np.log10((wanted.astype(np.float64) ** 2).sum() / noise.sum()))


def shipped(target: str, net: object, folder: Path) -> tuple[Graph, WrittenTarget]:
    assert callable(net)
    graph, plan = chosen(net(), target)
    return graph, TargetFolder(path=folder, target=TARGETS[target], deployment=told(graph)).write(
        graph, plan
    )


def told(graph: Graph) -> Deployment:
    """Return what every writer may ask for; the samples are pictures."""
    pixels = np.random.default_rng(3).integers(0, 256, (8, *IMAGE)).astype(np.float32)
    rows = [(f"{i}.png", {"input": x}) for i, x in enumerate(pixels)]
    return Deployment(
        preprocess=Preprocess(),
        profile=profiled(graph),
        samples=lambda count: iter(rows[:count]),
    )


@EVERY_TARGET
@EVERY_NET
def test_writes_the_same_bytes_twice_and_all_that_a_folder_holds(
    target: str, net: object, tmp_path: Path
) -> None:
    """What is not listed is forgotten by whoever copies the files to the board's machine."""
    left = [shipped(target, net, tmp_path / str(i))[1] for i in range(2)]
    found = [{p for p in (tmp_path / str(i)).rglob("*") if p.is_file()} for i in range(2)]
    names = {p.relative_to(tmp_path / "0").as_posix() for p in found[0]}

    assert left[0] == left[1]
    assert names == {*left[0].exported.files, "plan.json", "simulated.onnx", "check.json"}
    for name in names:
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "1"]


@EVERY_TARGET
@EVERY_NET
def test_the_simulation_runs_in_onnx_runtime_and_says_nearly_what_the_float_model_says(
    target: str, net: object, tmp_path: Path
) -> None:
    """8 bits give about 30 dB on a few layers; 20 dB is lost only by a wrong grid."""
    graph, _ = shipped(target, net, tmp_path)
    onnx.checker.check_model(tmp_path / "simulated.onnx", full_check=True)
    feeds = inputs(graph, seed=9)
    (wanted,) = run(graph.model, feeds)
    (made,) = run(ir.load(tmp_path / "simulated.onnx"), feeds)

    assert made.dtype == np.float32
    assert sqnr_db(wanted, made) > 20


@EVERY_TARGET
@EVERY_NET
def test_an_export_of_a_plain_network_passes_its_own_check(
    target: str, net: object, tmp_path: Path
) -> None:
    """What we write for a chip, the chip takes."""
    _, left = shipped(target, net, tmp_path)

    assert [str(f) for f in errors(left.findings)] == []


@EVERY_TARGET
@pytest.mark.parametrize("net", [residual_net, depthwise_net])
def test_a_plan_of_every_precision_passes_its_own_check_and_simulates(
    target: str, net: object, tmp_path: Path
) -> None:
    """Mixed precision is what the search will write."""
    assert callable(net)
    table = TARGETS[target]
    graph = prepared(net())
    names = [str(n.name) for n in graph.nodes if weight_of(n) is not None]
    wanted = [*table.formats, *table.float_precisions]
    rules = tuple(
        Rule(match=name, precision=wanted[i % len(wanted)]) for i, name in enumerate(names)
    )
    held = profiled(graph)
    plan = Planner(target=table, recipe=Recipe(rules=rules), observer="minmax").choose(graph, held)
    left = TargetFolder(path=tmp_path, target=table, deployment=told(graph)).write(graph, plan)
    feeds = inputs(graph, seed=9)
    session = open_simulation(ir.load(tmp_path / "simulated.onnx"), threads=1)

    assert [str(f) for f in errors(left.findings)] == []
    assert [plan.layers[n].precision for n in names] == [
        wanted[i % len(wanted)] for i in range(len(names))
    ]
    assert sqnr_db(run(graph.model, feeds)[0], session.run(None, feeds)[0]) > 20
    assert load_plan(tmp_path / "plan.json").tensors.keys() == plan.tensors.keys()


@EVERY_TARGET
def test_every_rule_has_a_name_and_a_line(target: str) -> None:
    for name, line in TARGETS[target].rules.items():
        assert name.startswith(f"{target}-")
        assert len(line) > 10
        assert "\n" not in line


@EVERY_TARGET
@EVERY_NET
def test_every_weighted_layer_is_integer_unless_the_plan_says_why(target: str, net: object) -> None:
    assert callable(net)
    graph, plan = chosen(net(), target)
    weighted = [str(n.name) for n in graph.nodes if weight_of(n) is not None]

    assert [plan.layers[n].precision for n in weighted] == ["int8"] * len(weighted)


@EVERY_TARGET
def test_the_table_names_operators_that_exist_and_its_source(target: str) -> None:
    table = TARGETS[target]
    named = (
        table.weighted_ops
        | table.integer_ops
        | table.passthrough_ops
        | table.shared_grid_ops
        | table.integer_output_ops
    )

    assert [op for op in sorted(named) if not onnx.defs.has(op)] == []
    assert table.name == target
    assert table.title
    assert len(table.source) > 40
    assert table.integer_output_ops <= table.weighted_ops
    assert not table.weighted_ops & (
        table.integer_ops | table.passthrough_ops | table.shared_grid_ops
    )
    assert table.activation.axis is None
    assert table.weight.symmetric


@EVERY_TARGET
def test_fitted_weights_change_no_file_of_the_target(target: str, tmp_path: Path) -> None:
    """The fitted graph is kept beside the plan; a writer's file of that name would be lost."""
    graph, plan = chosen(conv_relu_net(), target)
    other = prepared(gemm_net())
    table, deployment = TARGETS[target], told(graph)
    alone, beside = (
        TargetFolder(path=tmp_path / name, target=table, deployment=deployment)
        for name in ("alone", "beside")
    )
    files = alone.write(graph, plan).exported.files
    beside.write(graph, plan, prepared=other)

    assert (tmp_path / "beside" / "graph.onnx").is_file()
    for name in files:
        same = (tmp_path / "alone" / name, tmp_path / "beside" / name)
        assert same[0].read_bytes() == same[1].read_bytes(), name

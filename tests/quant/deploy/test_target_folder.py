"""Ship: a target's folder is whole or as it was; what a chip refuses is said before the work."""

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from quant.choose.placement import place
from quant.common.errors import InputError
from quant.deploy.fallback import refused_layers, with_fallback
from quant.deploy.target_folder import TargetFolder
from quant.export.tensorrt.check.run_rules import check_export
from quant.graph.prepared_graph import Graph
from quant.plan.recipe import NOTHING, Recipe, Rule
from quant.plan.tensor_plans import Plan
from quant.target.deployment import Deployment
from quant.target.finding import Finding, errors
from quant.target.table import TARGETS, Exported, Target
from tests.chosen import chosen, prepared, profiled
from tests.models import conv_relu_net

GRAPH, PLAN = chosen(conv_relu_net(), "tensorrt")


def refusing(*names: str, always: Collection[str] = ()) -> Target:
    """Return TensorRT with a check that refuses these layers, the ones of `always` in any case."""

    def check(graph: Graph, deployment: Deployment) -> list[Finding]:
        return [
            Finding(
                rule="chip-1",
                severity="warning" if deployment.allow_fallback and n not in always else "error",
                place=f"node '{n}'",
                saw="a kernel of 31",
                wanted="at most 11",
                mend="Use two layers.",
                layer=n,
            )
            for n in names
        ]

    return replace(TARGETS["tensorrt"], check_model=check)


def test_a_refused_layer_is_said_before_the_work() -> None:
    with pytest.raises(InputError) as caught:
        refused_layers(GRAPH, refusing("conv2", "fc"), Deployment())

    assert str(caught.value) == (
        "net.onnx: chip-1 error, node 'conv2': saw a kernel of 31, wanted at most 11. Use two "
        "layers. (1 more; quant check --target tensorrt lists them) Or give --allow-fallback: "
        "such layers stay float."
    )


def test_with_fallback_it_stays_float_and_the_plan_says_why() -> None:
    target = refusing("conv2")
    refused = refused_layers(GRAPH, target, Deployment(allow_fallback=True))
    placed = place(GRAPH, target, with_fallback(NOTHING, refused, target), GRAPH.activations)

    assert dict(refused) == {"conv2": "a kernel of 31"}
    assert placed.layers["conv2"].precision == "float32"
    assert placed.layers["conv2"].because == "TensorRT cannot take it: a kernel of 31"
    assert placed.layers["conv1"].precision == "int8"


def test_what_cannot_fall_back_is_refused_all_the_same() -> None:
    with pytest.raises(InputError) as caught:
        refused_layers(GRAPH, refusing("conv2", always=["conv2"]), Deployment(allow_fallback=True))

    assert str(caught.value).endswith("Use two layers.")


def test_the_targets_own_rule_says_who_leaves_with_it() -> None:
    """NNIE cuts off what follows; a name that is no layer of its own (a Relu) is left out."""
    target = replace(refusing("conv2"), fallback=lambda graph, told: ["conv2", "relu2", "pool"])
    refused = refused_layers(GRAPH, target, Deployment(allow_fallback=True))

    assert dict(refused) == {"conv2": "a kernel of 31", "pool": "it follows a refused layer"}


def test_a_hostile_name_matches_only_itself() -> None:
    """Node names hold * and [."""
    recipe = with_fallback(NOTHING, {"conv[1]*": "x"}, TARGETS["tensorrt"])

    assert recipe.wants("conv[1]*", "Conv", "precision") == "float32"
    assert recipe.wants("conv1", "Conv", "precision") is None
    assert recipe.of("nnie").wants("conv[1]*", "Conv", "precision") is None


def test_a_writer_that_fails_leaves_nothing_and_touches_nothing(tmp_path: Path) -> None:
    def write(graph: Graph, plan: Plan, folder: Path, deployment: Deployment) -> Exported:
        (folder / "model.onnx").write_text("half")
        raise InputError("disk full. Buy one.")

    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "model.onnx").write_text("old")
    with pytest.raises(InputError, match="disk full"):
        TargetFolder(
            path=folder, target=replace(TARGETS["tensorrt"], write=write), deployment=Deployment()
        ).write(GRAPH, PLAN)

    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (folder / "model.onnx").read_text() == "old"
    assert [p.name for p in folder.iterdir()] == ["model.onnx"]


def test_a_second_export_replaces_its_files_and_leaves_others(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for _ in range(2):
        TargetFolder(path=tmp_path, target=TARGETS["tensorrt"], deployment=Deployment()).write(
            GRAPH, PLAN
        )

    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "check.json").exists()


def test_what_an_export_before_this_one_left_is_gone(tmp_path: Path) -> None:
    """A calibration cache beside a graph for TensorRT 11 is an error by our own rules."""
    told = Deployment(profile=profiled(GRAPH), versions={"tensorrt": "10"})
    out = tmp_path / "out"
    TargetFolder(path=out, target=TARGETS["tensorrt"], deployment=told).write(GRAPH, PLAN)
    assert (out / "implicit" / "calibration.cache").exists()
    (out / "notes.txt").write_text("mine")
    (tmp_path / "theirs.txt").write_text("theirs")
    listed = json.loads((out / "check.json").read_text())
    listed["files"] += ["../theirs.txt", "../out/../theirs.txt"]
    (out / "check.json").write_text(json.dumps(listed))
    newer = replace(told, versions={"tensorrt": "11"})
    TargetFolder(path=out, target=TARGETS["tensorrt"], deployment=newer).write(GRAPH, PLAN)

    assert not (out / "implicit" / "calibration.cache").exists()
    assert [str(f) for f in errors(check_export(out, newer))] == []
    assert (out / "notes.txt").read_text() == "mine"
    assert (tmp_path / "theirs.txt").read_text() == "theirs"


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError) as caught:
        TargetFolder(
            path=tmp_path / "out", target=TARGETS["tensorrt"], deployment=Deployment()
        ).write(GRAPH, PLAN)

    assert str(caught.value) == (
        f"{tmp_path / 'out'}: a folder is wanted, and this is a file. Choose another --out."
    )


def test_a_precision_that_a_target_lacks_is_refused_with_the_rule() -> None:
    recipe = Recipe(rules=(Rule(op="Gemm", precision="int16"),), path="r.toml")
    with pytest.raises(InputError) as caught:
        place(GRAPH, TARGETS["tensorrt"], recipe, GRAPH.activations)

    assert str(caught.value) == (
        "r.toml: precision 'int16' for layer 'fc': TensorRT has int8, fp8, w4a8, w4a4, "
        "w8a16, float32, float16. Choose one of them, or add target = to the rule."
    )


def test_a_rule_for_one_target_leaves_the_others_alone() -> None:
    rules = (Rule(op="Gemm", precision="float", target="tensor*"),)
    graph = prepared(conv_relu_net())
    both = {
        name: place(graph, TARGETS[name], Recipe(rules=rules), graph.activations)
        for name in ("tensorrt", "onnxruntime")
    }

    assert both["tensorrt"].layers["fc"].precision == "float32"
    assert both["onnxruntime"].layers["fc"].precision == "int8"


def test_floats_may_be_float16_by_a_rule() -> None:
    """The layers that stay float, whichever they are."""
    rules = (Rule(float_precision="float16"), Rule(match="conv2", precision="float"))
    placed = place(GRAPH, TARGETS["tensorrt"], Recipe(rules=rules), GRAPH.activations)

    assert placed.layers["conv2"].precision == "float16"
    assert placed.layers["conv1"].precision == "int8"


def test_a_writer_that_takes_a_reserved_name_is_refused(tmp_path: Path) -> None:
    """`graph.onnx` of a third party's target would silently become the fitted float graph."""

    def write(graph: Graph, plan: Plan, folder: Path, deployment: Deployment) -> Exported:
        (folder / "graph.onnx").write_bytes(b"mine")
        return Exported(files=("graph.onnx",))

    target = replace(TARGETS["tensorrt"], write=write)
    folder = TargetFolder(path=tmp_path / "out", target=target, deployment=Deployment())
    with pytest.raises(InputError) as error:
        folder.write(GRAPH, PLAN)
    assert str(error.value) == (
        "target 'tensorrt': its writer left 'graph.onnx', which quant writes itself into every "
        "target's folder. Give the target's file another name."
    )
    assert not (tmp_path / "out").exists()

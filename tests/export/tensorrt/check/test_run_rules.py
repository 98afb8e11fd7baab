"""A good export has no finding, and what cannot be checked is refused."""

import random
from contextlib import suppress
from pathlib import Path

import onnx
import pytest

from quant.common.errors import InputError
from quant.export.tensorrt.check.rules import RULES
from quant.export.tensorrt.check.run_rules import check_export
from quant.target.deployment import Deployment
from tests.export.tensorrt.nets import DQ, Q, check, export, good, node_of, pair_of


@pytest.mark.parametrize("version", ["8", "10", "11"])
def test_a_good_export_has_no_finding_at_all(version: str, tmp_path: Path) -> None:
    """Else people learn to skip the list."""
    folder = export(tmp_path, version)

    assert check_export(folder, Deployment(versions={"tensorrt": version})) == []
    assert check_export(folder / "model.onnx", Deployment(versions={"tensorrt": version})) == []


def test_there_are_thirty_rules_with_a_line_each() -> None:
    assert list(RULES) == [f"tensorrt-{n}" for n in range(1, 31)]
    assert all(20 < len(line) < 100 and not line.endswith(".") for line in RULES.values())


def test_a_finding_reads_as_one_sentence_and_names_the_layer() -> None:
    graph = good()
    pair_of(graph, "input")[0].resize_inputs(2)
    finding = next(f for f in check(graph) if f.rule == "tensorrt-1")

    assert finding.layer == "stem"
    assert str(finding) == (
        "tensorrt-1 error, node 'input_QuantizeLinear': saw 2 inputs, wanted a zero point. Write an "
        "int8 zero point of 0: ONNX takes a missing one for uint8."
    )


def test_a_folder_without_model_and_a_file_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_export(tmp_path, Deployment())
    assert str(caught.value) == (
        f"{tmp_path}: a TensorRT export must hold 'model.onnx', saw none. Give its folder, or the "
        "file itself."
    )
    path = tmp_path / "x.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(InputError) as caught:
        check_export(path, Deployment())
    assert str(caught.value).startswith(f"{path}: not a readable ONNX model: ")
    assert str(caught.value).endswith(". Export it again.")


def test_a_circle_and_a_missing_weight_file_are_refused(tmp_path: Path) -> None:
    """In a circle the rules would run for ever."""
    graph = good()
    turn, back = node_of(graph, "relu2"), node_of(graph, "relu1")
    back.replace_input_with(0, turn.outputs[0])
    with pytest.raises(InputError) as caught:
        check(graph)
    assert "not a readable ONNX model: " in str(caught.value)

    proto = onnx.load(export(tmp_path) / "model.onnx")
    onnx.save(proto, tmp_path / "model.onnx", save_as_external_data=True, location="w")
    (tmp_path / "w").unlink()
    with pytest.raises(InputError) as caught:
        check_export(tmp_path / "model.onnx", Deployment())
    assert "No such file or directory" in str(caught.value)


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        check_export(Path("x.onnx"), Deployment(versions={"tensorrt": "9"}))
    assert str(caught.value) == (
        "TensorRT version: it must be 8, 10 or 11, with or without minor and patch, saw '9'. Give "
        "one of them."
    )


OPERATORS = ["Conv", "Gemm", "MatMul", "Add", "Concat", "MaxPool", "Relu", "Softmax", "Transpose"]


@pytest.mark.parametrize("seed", range(30))
def test_no_broken_graph_stops_the_rules(seed: int) -> None:
    """Files of other tools come with inputs missing and attributes lost: a finding, no traceback."""
    rng = random.Random(seed)
    graph = good(rng.choice(["8", "10"]))
    nodes = list(graph.graph)
    values = [v for n in nodes for v in n.outputs] + list(graph.graph.initializers.values())
    for _ in range(3):
        node = rng.choice(nodes)
        index = rng.randrange(max(len(node.inputs), 1))
        match rng.randrange(6):
            case 0:
                node.resize_inputs(index)
            case 1 if node.inputs:
                node.replace_input_with(index, None)
            case 2 if node.inputs:
                node.replace_input_with(index, rng.choice(values))
            case 3:
                node.op_type = rng.choice([*OPERATORS, Q, DQ])
            case 4:
                node.attributes.clear()
            case _:
                node.name = rng.choice(["", "a:b", None])
    with suppress(InputError):  # a circle
        assert all(f.rule in RULES and str(f) for f in check(graph))

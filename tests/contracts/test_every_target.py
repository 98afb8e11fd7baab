"""What every target must keep, whoever wrote it: files that check, run, repeat and mean the same."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from quant.graph import weight_of
from quant.target import TARGETS, Exported
from tests.chosen import chosen, inputs, run
from tests.models import concat_net, conv_relu_net, depthwise_net, gemm_net, residual_net

NETS = [concat_net, conv_relu_net, depthwise_net, gemm_net, residual_net]
EVERY_TARGET = pytest.mark.parametrize("target", list(TARGETS))
EVERY_NET = pytest.mark.parametrize("net", NETS)


def sqnr_db(wanted: np.ndarray, made: np.ndarray) -> float:  # type: ignore[type-arg]
    noise = (wanted.astype(np.float64) - made) ** 2
    return float(10 * np.log10((wanted.astype(np.float64) ** 2).sum() / noise.sum()))


@EVERY_TARGET
@EVERY_NET
def test_writes_the_same_bytes_twice_and_onnx_runtime_runs_them(
    target: str, net: object, tmp_path: Path
) -> None:
    assert callable(net)
    graph, plan = chosen(net(), target)
    left = [TARGETS[target].write(graph, plan, tmp_path / str(i)) for i in range(2)]

    assert left[0] == left[1]
    assert isinstance(left[0], Exported)
    assert left[0].files[0] == "model.onnx"
    for name in left[0].files:
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()
    onnx.checker.check_model(tmp_path / "0" / "model.onnx", full_check=True)
    assert sorted(p.name for p in (tmp_path / "0").iterdir()) == sorted(left[0].files)


@EVERY_TARGET
@EVERY_NET
def test_the_written_model_says_nearly_what_the_float_one_says(
    target: str, net: object, tmp_path: Path
) -> None:
    """8 bits give about 30 dB on a few layers; 20 dB is lost only by a wrong grid."""
    import onnx_ir as ir

    assert callable(net)
    graph, plan = chosen(net(), target)
    TARGETS[target].write(graph, plan, tmp_path)
    feeds = inputs(graph, seed=9)
    (wanted,) = run(graph.model, feeds)
    (made,) = run(ir.load(tmp_path / "model.onnx"), feeds)

    assert made.dtype == np.float32
    assert sqnr_db(wanted, made) > 20


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
    named = table.weighted | table.others | table.views | table.joined | table.outputs

    assert [op for op in sorted(named) if not onnx.defs.has(op)] == []
    assert table.name == target
    assert table.title
    assert len(table.source) > 40
    assert table.outputs <= table.weighted
    assert not table.weighted & (table.others | table.views | table.joined)
    assert table.activation.axis is None
    assert table.weight.symmetric

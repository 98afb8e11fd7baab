"""Rules 22 to 24: shapes without a fast 8-bit kernel."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from quant.export.tensorrt.check.model import check_model
from quant.export.tensorrt.check.run_rules import check_export
from quant.target.deployment import Deployment
from tests.chosen import chosen, prepared
from tests.export.tensorrt.nets import check, constant_of, good, only, pair_of
from tests.models import depthwise_net, gemm_net, model, weights


def test_rule_22_a_convolution_with_odd_channels(tmp_path: Path) -> None:
    graph, plan = chosen(depthwise_net(), "tensorrt")
    from quant.export.tensorrt.write import write

    write(graph, plan, tmp_path)

    assert only(check_export(tmp_path, Deployment()), 22) == [
        (
            "warning",
            "node 'expand'",
            "12 output and 3 input channels a group, kernel 1x1",
        ),
        (
            "warning",
            "node 'depthwise'",
            "12 output and 1 input channels a group, kernel 3x3",
        ),
        ("warning", "node 'project'", "8 output and 12 input channels a group, kernel 1x1"),
    ]


@pytest.mark.parametrize(
    ("shape", "group", "fast"),
    [
        ((16, 16, 3, 1), 1, True),
        ((8, 16, 3, 3), 1, True),  # one side of 8, the other of 16
        ((8, 16, 3, 1), 1, False),  # no square
        ((12, 12, 3, 3), 1, False),
        ((16, 1, 3, 3), 16, True),  # depthwise of 8 and kernel 3
        ((16, 1, 1, 1), 16, False),
        ((12, 1, 3, 3), 12, False),
    ],
)
def test_rule_22_knows_the_shapes_that_have_a_kernel(
    shape: tuple[int, ...], group: int, fast: bool
) -> None:
    """ModelOpt's table, a row each; the convolution is not the first of its network."""
    within = shape[1] * group
    proto = model(
        f"""g (float[N,{within},8,8] x) => (float[N,{shape[0]},k,l] y) {{
            [before] a = Sigmoid(x)
            [conv] y = Conv<group={group}>(a, w)
        }}""",
        weights(0, w=shape),
    )
    findings = only(check_model(prepared(proto), Deployment()), 22)

    assert (findings == []) == fast


def test_rule_23_a_matrix_that_is_too_thin(tmp_path: Path) -> None:
    from quant.export.tensorrt.write import write

    graph, plan = chosen(gemm_net(), "tensorrt")
    write(graph, plan, tmp_path)

    assert only(check_export(tmp_path, Deployment()), 23) == [
        ("warning", "node 'fc3'", "K = 16 and N = 10")
    ]


def test_rule_24_fp8_at_the_network_s_ends() -> None:
    graph = good("8")
    graph.graph.opset_imports[""] = 19
    for tensor in ("input", "w1"):
        scale = pair_of(graph, tensor)[0].inputs[1].const_value  # type: ignore[union-attr]
        zeros = np.zeros(scale.numpy().shape, ml_dtypes.float8_e4m3fn)  # type: ignore[union-attr]
        zero = constant_of(graph, f"{tensor}_z8", zeros)
        for node in pair_of(graph, tensor):
            node.replace_input_with(2, zero)
    findings = check(graph)

    assert only(findings, 24) == [
        ("warning", "node 'stem'", "FP8 in the first layer, 3 input channels")
    ]
    assert only(findings, 22) == [
        ("warning", "node 'stem'", "16 output and 3 input channels, filter area 9, in FP8")
    ]

"""Every float tensor has one scale, compared with numpy's extremes over the same samples."""

import numpy as np
import onnx
import onnx_ir as ir

from quant.export.tensorrt.files.implicit import tensor_scales
from quant.graph.session import open_session
from tests.chosen import chosen, inputs, profiled
from tests.export.tensorrt.nets import wide_net
from tests.models import conv_relu_net, model, weights


def magnitudes(proto: onnx.ModelProto) -> dict[str, float]:
    """Return each tensor's largest magnitude over the seeded samples, from ONNX Runtime."""
    graph, _ = chosen(proto, "tensorrt")
    feeds = inputs(graph)
    names = [n for n in graph.activations if n not in feeds]
    session = open_session(graph.with_outputs(names), threads=1)
    found = {n: float(np.abs(a).max()) for n, a in feeds.items()}
    for name, array in zip(names, session.run(names, feeds), strict=True):
        found[name] = float(np.abs(array).max())
    return found


def test_every_float_tensor_has_a_scale_also_outputs_and_what_is_before_a_relu() -> None:
    graph, plan = chosen(conv_relu_net(), "tensorrt")
    scales = tensor_scales(graph, plan, profiled(graph))
    largest = magnitudes(conv_relu_net())

    assert list(scales) == ["input", "a", "b", "c", "d", "e", "f", "output"]
    for name in ("input", "b", "d", "f"):  # the plan's own, min-max over the same samples
        assert scales[name].origin == "plan"
        assert scales[name].scale == np.float32(largest[name] / 127)
    for name, fused in (("a", "b"), ("c", "d")):
        assert (scales[name].origin, scales[name].scale) == (
            "activation",
            scales[fused].scale,
        )
        assert largest[name] != largest[fused]
    assert (scales["output"].origin, scales["output"].scale) == (
        "profile",
        np.float32(largest["output"] / 127),
    )
    assert (
        scales["e"] == scales["f"]
    )  # a view has its source's numbers, and the plan knows the view


def test_what_the_plan_does_not_quantize_gets_what_was_seen() -> None:
    graph, plan = chosen(wide_net(), "tensorrt")
    scales = tensor_scales(graph, plan, profiled(graph))
    largest = magnitudes(wide_net())

    for name in ("e", "i", "output"):  # of a residual, in front of a Concat, of the network
        assert scales[name].origin == "profile"
        assert scales[name].scale == np.float32(largest[name] / 127)
    assert (scales["f"].origin, scales["f"].scale) == ("activation", scales["h"].scale)
    assert scales["m"].scale == scales["n"].scale  # MaxPool's two sides


def test_a_tensor_that_is_always_zero_gets_scale_1() -> None:
    held = weights(0, w1=(4, 3, 1, 1), w2=(4, 4, 1, 1))
    proto = model(
        """g (float[N,3,4,4] x) => (float[N,4,4,4] y, float[N,4,4,4] z) {
            [one] a = Conv(x, w1)
            [two] y = Conv(a, w2)
            [off] z = Mul(y, zero)
        }""",
        {**held, "zero": np.zeros((1, 4, 1, 1), np.float32)},
    )
    graph, plan = chosen(proto, "tensorrt")
    scales = tensor_scales(graph, plan, profiled(graph))

    assert (scales["z"].origin, scales["z"].scale) == ("dead", 1.0)
    assert ir.DataType.FLOAT in {v.dtype for v in graph.outputs}

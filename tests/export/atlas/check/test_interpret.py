"""The interpreter against integers worked out loop by loop, and what it refuses to compute."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from quant.common.errors import InputError, UnsupportedError
from quant.export.atlas.check.integer_operators import (
    ConvGeometry,
    convolve,
    multiply,
    transpose_convolve,
)
from quant.export.atlas.check.interpret import interpret
from tests.models import model

Arrays = dict[str, NDArray[Any]]


def scales(*numbers: float) -> NDArray[np.uint64]:
    return np.float32(numbers).view(np.uint32).astype(np.uint64)


def deployed(body: str, held: Arrays, *, shape: str = "1,2,3,3") -> onnx.ModelProto:
    text = f'<opset_import: ["" : 11]> g (float[{shape}] x) => (float[n] y) {{ {body} }}'
    return model(text, held, ir_version=6)


def layer(quantizer: str = "", dequantizer: str = "dtype = 0", op: str = "Conv") -> str:
    return f"""
        ["l.quant"] q = AscendQuant<scale = 2.0, offset = -3.0, dst_type = "INT8"{quantizer}>(x)
        [l] s = {op}(q, w, b)
        ["l.dequant"] y = AscendDequant<{dequantizer}>(s, d)"""


HELD: Arrays = {
    "w": np.arange(-8, 8, dtype=np.int8).reshape(2, 2, 2, 2),
    "b": np.array([5, -7], np.int32),
    "d": scales(0.5, 0.25),
}


def test_a_convolution_worked_out_loop_by_loop() -> None:
    """Ties to even, saturation and the zero padding of q - offset are all in these numbers."""
    x = np.array([-1e9, 0.25, 0.75, 1.25, -0.25, 3.0, 1e9, 64.0, 65.5], np.float32)
    x = np.stack([x.reshape(3, 3), -x.reshape(3, 3)])[None]
    outputs = interpret(deployed(layer(op="Conv<pads=[1,0,0,0]>"), HELD), {"x": x})["y"]

    wanted = np.zeros((1, 2, 3, 2), np.float32)
    for o in range(2):
        for i in range(3):
            for j in range(2):
                total = int(HELD["b"][o])
                for c in range(2):
                    for a in range(2):
                        for b in range(2):
                            if i + a - 1 < 0:
                                continue  # the pad is the real number 0
                            steps = round(float(x[0, c, i + a - 1, j + b]) * 2.0) - 3
                            whole = max(-128, min(127, steps)) + 3
                            total += whole * int(HELD["w"][o, c, a, b])
                wanted[0, o, i, j] = np.float32(total) * np.float32([0.5, 0.25][o])
    np.testing.assert_array_equal(outputs, wanted)


def test_a_sum_beyond_float32_is_rounded_once() -> None:
    """2**24 + 1 exists in int32 only: it rounds to even when it becomes a float."""
    held: Arrays = {
        "w": np.ones((1, 1), np.int8),
        "b": np.array([2**24 - 2], np.int32),
        "d": scales(1.0),
    }
    outputs = interpret(deployed(layer(op="Gemm"), held, shape="1,1"), {"x": np.float32([[1.5]])})

    assert outputs["y"].tolist() == [[2.0**24]]  # 3 + 2**24 - 2 = 2**24 + 1


def test_a_pair_of_quantizers_without_a_layer_gives_the_grid() -> None:
    """AscendAntiQuant takes the step, not its reciprocal."""
    proto = deployed(
        """[q] q = AscendQuant<scale = 4.0, offset = 10.0, dst_type = "INT8">(x)
        [a] y = AscendAntiQuant<scale = 0.25, offset = 10.0>(q)""",
        {},
    )
    x = np.array([0.1, 0.125, 0.375, -0.2, 1e3, -1e3, 29.25, 0, 0], np.float32).reshape(1, 1, 3, 3)

    outputs = interpret(proto, {"x": x})["y"].ravel().tolist()

    assert outputs == [0.0, 0.0, 0.5, -0.25, 29.25, -34.5, 29.25, 0.0, 0.0]


def test_float_operators_run_between_the_integers() -> None:
    """A branch from the input, one from the layer, and constants that both read."""
    body = layer(op="Conv").replace("y =", "t =") + "\n[r] u = Relu(t) [m] y = Mul(u, two)"
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 3)).astype(np.float32)
    plain = interpret(deployed(layer(op="Conv"), HELD), {"x": x})["y"]

    outputs = interpret(deployed(body, {**HELD, "two": np.float32(2)}), {"x": x})["y"]

    np.testing.assert_array_equal(outputs, np.maximum(plain, 0) * 2)


def test_sums_that_leave_int32_are_refused() -> None:
    held = {**HELD, "b": np.full(2, 2**31 - 1, np.int32)}

    with pytest.raises(InputError) as caught:
        interpret(deployed(layer(), held), {"x": np.full((1, 2, 3, 3), 9, np.float32)})

    assert str(caught.value) == (
        "node 'l' (Conv): sums must fit int32, saw 2147484151. Keep the layer float in the recipe."
    )


def test_a_missing_input_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        interpret(deployed(layer(), HELD), {})

    assert str(caught.value) == "feeds: input 'x' is missing. Give every graph input."


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (layer(", sqrt_mode = 1"), "node 'l.quant' (AscendQuant)", ),
        (layer(', round_mode = "Floor"'), "node 'l.quant' (AscendQuant)"),
        (layer(dequantizer="dtype = 1"), "node 'l.dequant' (AscendDequant)"),
        (layer(dequantizer="dtype = 0, relu_flag = 1"), "node 'l.dequant' (AscendDequant)"),
        (layer().replace("Conv(q, w, b)", "Conv(x, q, b)"), "node 'l' (Conv)"),
    ],
)  # fmt: skip
def test_what_quant_never_writes_is_refused(body: str, said: str) -> None:
    """Better no number than one that was computed under other rules."""
    saw = {
        "AscendQuant": "sqrt_mode or another round_mode",
        "AscendDequant": "a dtype other than 0, sqrt_mode or relu_flag",
        "Conv": "integers at another input than the first",
    }[said.split("(")[1].removesuffix(")")]

    with pytest.raises(UnsupportedError) as caught:
        interpret(deployed(body, HELD), {"x": np.zeros((1, 2, 3, 3), np.float32)})

    assert str(caught.value) == (
        f"{said}: the interpreter computes what quant writes, saw {saw}. Export the model again."
    )


def test_an_operator_that_has_no_int8_form_is_refused() -> None:
    body = layer().replace("Conv(q, w, b)", "Sub(q, w)")

    with pytest.raises(UnsupportedError) as caught:
        interpret(deployed(body, HELD), {"x": np.zeros((1, 2, 3, 3), np.float32)})

    assert str(caught.value) == (
        "node 'l' (Sub): only Conv, ConvTranspose, Gemm, MatMul and AveragePool compute on int8. "
        "Put an AscendAntiQuant before it."
    )


def test_integers_of_every_size_are_summed_exactly() -> None:
    """Python's integers, which have no end, against the products in float64."""
    rng = np.random.default_rng(1)
    x = rng.integers(-(2**20), 2**20, (1, 3, 4))
    weight = rng.integers(-(2**20), 2**20, (2, 3, 2))
    wanted = [
        [
            sum(int(x[0, c, i + k]) * int(weight[o, c, k]) for c in range(3) for k in range(2))
            for i in range(3)
        ]
        for o in range(2)
    ]
    outputs = convolve(x, weight, ConvGeometry(strides=[1], pads=[0, 0], dilations=[1]))

    assert outputs.dtype == np.int64
    assert outputs[0].tolist() == wanted
    assert multiply(x[0], weight[0].T[:, :1].repeat(4, 0)[:4] * 0 + 1).tolist() == [
        [int(sum(row))] for row in x[0]
    ]


def test_a_transposed_convolution_scatters_each_element() -> None:
    x = np.arange(1, 5).reshape(1, 1, 2, 2)
    weight = np.array([[[[1, 2], [3, 4]]]])
    outputs = transpose_convolve(
        x, weight, ConvGeometry(strides=[2, 1], pads=[0, 1, 0, 0], group=1, output_padding=[1, 0])
    )

    wanted = np.zeros((5, 3), np.int64)
    for i in range(2):
        for j in range(2):
            wanted[2 * i : 2 * i + 2, j : j + 2] += x[0, 0, i, j] * weight[0, 0]
    assert outputs[0, 0].tolist() == wanted[:, 1:].tolist()

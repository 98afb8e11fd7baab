"""LayerNorm and GELU in pieces are recognized by their shape, and nothing else is."""

import numpy as np
import pytest

from quant.choose.decomposed_operators import GELU, LAYERNORM, decomposed_operators
from quant.choose.planner import Planner
from quant.target.table import TARGETS
from tests import transformer_nets
from tests.chosen import prepared, profiled
from tests.models import model, weights

NUMBERS = {
    "one": 1.0,
    "half": 0.5,
    "two": 2.0,
    "three": 3.0,
    "root": 1.4142135,
    "tiny": 1e-6,
    "cubic": 0.044715,
    "slope": 0.7978846,
}

NORM = "m = ReduceMean<axes=[1]>(x)\nd = Sub(x, m)\n"
SQUARE = "p = Mul(d, d)\nv = ReduceMean<axes=[1]>(p)\ne = Add(v, tiny)\ns = Sqrt(e)\n"
CUBE = "s = Mul(x, x)\nc = Mul(s, x)\n"
TANH = "k = Mul(c, cubic)\na = Add(x, k)\nt = Mul(a, slope)\nh = Tanh(t)\np = Add(h, one)\n"

WHOLE = {
    "LayerNorm by Mul and Reciprocal": (
        NORM + SQUARE + "r = Reciprocal(s)\nn = Mul(d, r)\nu = Mul(n, g)\nz = Add(u, g)",
        LAYERNORM,
    ),
    "LayerNorm without scale": (NORM + SQUARE + "z = Div(d, s)", LAYERNORM),
    "RMSNorm": (
        SQUARE.replace("d, d", "x, x") + "n = Div(x, s)\nz = Mul(g, n)",
        LAYERNORM,
    ),
    "GELU by Erf, half first": (
        "q = Div(x, root)\ne = Erf(q)\np = Add(e, one)\nh = Mul(x, half)\nz = Mul(h, p)",
        GELU,
    ),
    "GELU by Erf, half of the factor": (
        "q = Div(x, root)\ne = Erf(q)\np = Add(one, e)\nh = Mul(half, p)\nz = Mul(x, h)",
        GELU,
    ),
    "GELU by Tanh and products": (CUBE + TANH + "h2 = Mul(x, half)\nz = Mul(h2, p)", GELU),
    "GELU by Tanh and Pow": (
        "c = Pow(x, three)\n" + TANH + "y = Mul(x, p)\nz = Mul(y, half)",
        GELU,
    ),
}


def behind_conv(body: str) -> str:
    """Return a graph in which an integer convolution feeds a body from x to z, and one reads it."""
    return f"""g (float[N,3,8,8] input) => (float[N,4,8,8] output) {{
        [conv1] x = Conv(input, w1, b1)
        {body}
        [conv2] output = Conv(z, w2, b2)
    }}"""


def held() -> dict[str, np.ndarray]:
    made = weights(0, w1=(6, 3, 1, 1), b1=(6,), w2=(4, 6, 1, 1), b2=(4,))
    made["g"] = np.linspace(0.5, 1.5, 6, dtype=np.float32).reshape(1, 6, 1, 1)
    return made | {k: np.array(v, np.float32) for k, v in NUMBERS.items()}


@pytest.mark.parametrize("name", WHOLE)
def test_every_spelling_is_known_to_the_last_node(name: str) -> None:
    body, said = WHOLE[name]
    graph = prepared(model(behind_conv(body), held()))
    inner = {str(n.name) for n in graph.nodes if n.op_type != "Conv"}

    assert decomposed_operators(graph.nodes) == dict.fromkeys(inner, said)


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_the_cube_of_a_gelu_is_not_quantized(target: str) -> None:
    """Two products of what an integer convolution gives would each be a kernel of 8 bits."""
    graph = prepared(model(behind_conv(WHOLE["GELU by Tanh and products"][0]), held()))
    plan = Planner(target=TARGETS[target]).choose(graph, profiled(graph))
    inner = [x for x in plan.layers.values() if x.op != "Conv"]

    assert {x.because for x in inner} == {GELU}
    assert not any(x.quantized for x in inner)


@pytest.mark.parametrize(
    "body",
    [
        "e = Erf(x)\nz = Mul(e, half)",
        "h = Tanh(x)\nz = Mul(h, x)",
        "m = ReduceMean<axes=[1]>(x)\nz = Sub(x, m)",
        "p = Mul(x, x)\nm = ReduceMean<axes=[1]>(p)\ne = Exp(m)\nz = Mul(x, e)",
        "q = Exp(x)\ne = Erf(q)\np = Add(e, one)\nz = Mul(x, p)",
        "p = Mul(x, g)\nm = ReduceMean<axes=[1]>(p)\ns = Sqrt(m)\nz = Div(x, s)",
    ],
    ids=["Erf alone", "Tanh alone", "mean taken off", "no root", "Erf of a curve", "no square"],
)
def test_what_is_only_alike_is_left(body: str) -> None:
    graph = prepared(model(behind_conv(body), held()))

    assert decomposed_operators(graph.nodes) == {}


def test_a_transformer_in_pieces_says_which_piece_is_what() -> None:
    graph = prepared(transformer_nets.vit("chains", blocks=1))
    found = decomposed_operators(graph.nodes)

    assert sum(said == LAYERNORM for said in found.values()) == 3 * 9
    assert sum(said == GELU for said in found.values()) == 5

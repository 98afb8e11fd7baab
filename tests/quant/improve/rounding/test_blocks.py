"""Blocks of hand-made graphs, named node by node."""

import onnx
import pytest

from quant.improve.fit.torch_operators import can_run
from quant.improve.rounding.blocks import find_blocks
from tests.chosen import prepared
from tests.models import concat_net, depthwise_net, model, residual_net, weights


def blocks(proto: onnx.ModelProto) -> list[str]:
    """Return each block's nodes by name, in one line."""
    return [" ".join(str(n.name) for n in b.nodes) for b in find_blocks(prepared(proto), can_run)]


def test_a_residual_block_is_from_the_fork_to_behind_the_activation_of_its_join() -> None:
    """The head is a layer by itself: what is before it, the pooling, belongs to no layer."""
    found = find_blocks(prepared(residual_net()), can_run)

    assert [[n.name for n in b.nodes] for b in found] == [
        ["stem", "relu1"],
        ["conv1", "relu2", "conv2", "add", "relu3"],
        ["fc"],
    ]
    assert (found[1].entry, found[1].exit) == ("b", "h")
    assert [n.name for n in found[1].layers] == ["conv1", "conv2"]


def test_a_fork_at_the_input_and_branches_that_are_concatenated_are_one_block() -> None:
    """The layer that mixes them is behind the join, and a block by itself."""
    assert blocks(concat_net()) == ["left relu1 right relu2 concat", "mix"]


def test_a_chain_has_three_layers_at_most() -> None:
    text = "\n".join(
        f"[c{i}] x{i + 1} = Conv(x{i}, w{i}) [r{i}] y{i} = Relu(x{i + 1})".replace(
            f"Conv(x{i}", f"Conv({'input' if i == 0 else f'y{i - 1}'}"
        )
        for i in range(7)
    )
    held = weights(0, **{f"w{i}": (3, 3, 1, 1) for i in range(7)})
    proto = model(f"g (float[N,3,16,16] input) => (float[N,3,16,16] y6) {{ {text} }}", held)

    assert blocks(proto) == ["c0 r0 c1 r1 c2 r2", "c3 r3 c4 r4 c5 r5", "c6 r6"]


def test_a_dense_net_has_a_block_for_each_concat() -> None:
    """Each Concat joins what went in with what was made of it."""
    proto = model(
        """g (float[N,3,16,16] input) => (float[N,9,16,16] output) {
            [a] x = Conv(input, w1)
            [b] y = Conv<pads=[1,1,1,1]>(x, w2)
            [c] z = Concat<axis=1>(input, y)
            [d] u = Conv(z, w3)
            [e] v = Conv<pads=[1,1,1,1]>(u, w4)
            [f] output = Concat<axis=1>(z, v)
        }""",
        weights(0, w1=(4, 3, 1, 1), w2=(3, 4, 3, 3), w3=(4, 6, 1, 1), w4=(3, 4, 3, 3)),
    )

    assert blocks(proto) == ["a b c", "d e f"]


def test_squeeze_and_excite_is_inside_the_residual_block_around_it() -> None:
    proto = model(
        """g (float[N,3,16,16] input) => (float[N,3,16,16] output) {
            [expand] a = Conv(input, w1)
            [act] b = Relu(a)
            [squeeze] c = GlobalAveragePool(b)
            [reduce] d = Conv(c, w2)
            [act2] e = Relu(d)
            [excite] f = Conv(e, w3)
            [gate] h = Sigmoid(f)
            [scale] i = Mul(b, h)
            [project] j = Conv(i, w4)
            [add] output = Add(j, input)
        }""",
        weights(0, w1=(6, 3, 1, 1), w2=(2, 6, 1, 1), w3=(6, 2, 1, 1), w4=(3, 6, 1, 1)),
    )

    assert blocks(proto) == [
        "expand act squeeze reduce act2 excite gate scale project add",
    ]


def test_an_activation_of_two_nodes_joins_a_chain() -> None:
    """SiLU is x * sigmoid(x): a fork and a join without a layer."""
    proto = model(
        """g (float[N,3,16,16] input) => (float[N,3,16,16] output) {
            [a] x = Conv(input, w1)
            [s] y = Sigmoid(x)
            [m] z = Mul(x, y)
            [b] u = Conv(z, w2)
            [t] v = Sigmoid(u)
            [n] output = Mul(u, v)
        }""",
        weights(0, w1=(4, 3, 1, 1), w2=(3, 4, 1, 1)),
    )

    assert blocks(proto) == ["a s m b t n"]


ATTENTION = """g (float[N,4,6] input) => (float[N,4,6] output) {
    [q] a = MatMul(input, w1)
    [k] b = MatMul(input, w2)
    [turn] c = Transpose<perm=[0,2,1]>(b)
    [scores] d = MatMul(a, c)
    [soft] e = SOFT(d)
    [v] f = MatMul(input, w3)
    [mix] h = MatMul(e, f)
    [out] i = MatMul(h, w4)
    [add] j = Add(i, input)
    [up] k1 = MatMul(j, w5)
    [act] l = Relu(k1)
    [down] m = MatMul(l, w6)
    [add2] output = Add(m, j)
}"""


@pytest.mark.parametrize(
    ("soft", "before"),
    [
        ("Softmax<axis=-1>", ["q k turn scores soft v mix out add"]),
        ("Hardmax<axis=-1>", ["q k turn scores", "v", "out"]),
    ],
)
def test_attention_is_a_block_and_falls_apart_where_torch_cannot_run_it(
    soft: str, before: list[str]
) -> None:
    """What cannot be run may not be guessed; what is around it is learned all the same."""
    held = weights(0, w1=(6, 6), w2=(6, 6), w3=(6, 6), w4=(6, 6), w5=(6, 8), w6=(8, 6))

    assert blocks(model(ATTENTION.replace("SOFT", soft), held)) == [*before, "up act down add2"]


def test_a_value_that_is_read_elsewhere_is_no_inside_of_a_block() -> None:
    """A detector's head reads the middle of the chain, and so does an output of the graph."""
    proto = model(
        """g (float[N,3,16,16] input) => (float[N,3,16,16] y, float[N,3,16,16] u, float[N,3,16,16] v) {
            [a] x = Conv(input, w1)
            [b] y = Relu(x)
            [c] z = Conv(y, w2)
            [d] u = Conv(z, w3)
            [e] v = Conv(z, w3)
        }""",
        weights(0, w1=(3, 3, 1, 1), w2=(3, 3, 1, 1), w3=(3, 3, 1, 1)),
    )

    assert blocks(proto) == ["a b", "c", "d", "e"]


def test_no_node_is_in_two_blocks_and_depthwise_layers_chain() -> None:
    found = find_blocks(prepared(depthwise_net()), can_run)
    names = [n.name for b in found for n in b.nodes]

    assert len(names) == len(set(names))
    assert max(len(b.layers) for b in found) <= 3

"""Work: operations and numbers moved, by hand and against torch's own counter."""

import onnx_ir as ir
import pytest

from quant.cost.work import Work, layer_work, with_input_sizes
from quant.graph.prepared_graph import Graph
from tests.models import model, weights


def worked(text: str, **shapes: tuple[int, ...]) -> dict[str, Work]:
    """Return the work of each layer, in floats as written: no simplification."""
    graph = Graph(ir.from_proto(model(text, weights(0, **shapes))), "g")
    return {w.layer: w for w in layer_work(with_input_sizes(graph))}


def test_a_convolution_by_hand() -> None:
    """8 outputs of 16x16, each from 3 inputs of 3x3; the Relu costs nothing."""
    found = worked(
        """g (float[N,3,16,16] x) => (float[N,8,16,16] y) {
            [conv] c = Conv<pads=[1,1,1,1]>(x, w, b)
            [relu] y = Relu(c)
        }""",
        w=(8, 3, 3, 3),
        b=(8,),
    )

    assert found == {
        "conv": Work(
            layer="conv",
            op="Conv",
            macs=8 * 16 * 16 * 3 * 3 * 3,
            operations=2 * 8 * 16 * 16 * 27,
            activations=3 * 256 + 8 * 256,
            weights=216,
            biases=8,
        )
    }


def test_a_depthwise_convolution_reads_one_channel_for_each() -> None:
    found = worked(
        """g (float[N,6,8,8] x) => (float[N,6,4,4] y) {
            [dw] y = Conv<group=6, pads=[1,1,1,1], strides=[2,2]>(x, w)
        }""",
        w=(6, 1, 3, 3),
    )["dw"]

    assert (found.macs, found.weights, found.activations) == (6 * 16 * 9, 54, 6 * 64 + 6 * 16)


def test_gemm_concat_resize_and_pool_by_hand() -> None:
    """Concat moves and computes nothing; a bilinear pixel weighs four; a pool looks at its window."""
    found = worked(
        """<opset_import: ["" : 17]> g (float[N,4,8,8] x) => (float[N,10] y) {
            two = Constant<value_floats=[1.0, 1.0, 2.0, 2.0]>()
            [up] u = Resize<mode="linear">(x, , two)
            [pool] p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(u)
            [cat] c = Concat<axis=1>(x, p)
            [gap] a = GlobalAveragePool(c)
            [flat] f = Flatten(a)
            [soft] s = Softmax(f)
            [fc] y = Gemm<transB=1>(s, w, b)
        }""",
        w=(10, 8),
        b=(10,),
    )

    assert (found["up"].operations, found["up"].macs) == (4 * 16 * 16 * 2 * 4, 0)
    assert found["pool"].operations == 4 * 8 * 8 * 4
    assert (found["cat"].operations, found["cat"].activations) == (0, 2 * 4 * 64 + 8 * 64)
    assert found["gap"].operations == 8 * 64
    assert (found["flat"].operations, found["flat"].activations) == (0, 0)
    assert found["soft"].operations == 5 * 8
    assert (found["fc"].macs, found["fc"].weights, found["fc"].biases) == (80, 80, 10)


def test_a_transpose_moves_what_a_reshape_only_renames() -> None:
    found = worked(
        """g (float[N,4,8] x) => (float[N,32] y) {
            shape = Constant<value_ints=[0, 32]>()
            [turn] t = Transpose<perm=[0,2,1]>(x)
            [name] y = Reshape(t, shape)
        }"""
    )

    assert (found["turn"].activations, found["name"].activations) == (64, 0)


def test_a_gather_reads_only_what_it_gives() -> None:
    """An embedding of 1000 rows costs the two that are read, and the indices their own bytes."""
    found = worked(
        "g (int64[N,2] i) => (float[N,2,16] y) { [look] y = Gather(table, i) }", table=(1000, 16)
    )["look"]

    assert (found.activations, found.other_bytes) == (2 * 16 + 2 * 16, 2 * 8)


def test_products_of_activations_count_as_well() -> None:
    """Attention: neither operand is a weight."""
    found = worked(
        """g (float[N,2,5,8] q, float[N,2,8,7] k) => (float[N,2,5,7] y) {
            [qk] y = MatMul(q, k)
        }"""
    )["qk"]

    assert (found.macs, found.weights) == (2 * 5 * 7 * 8, 0)


def test_an_einsum_counts_every_letter() -> None:
    found = worked(
        """g (float[N,5,8] q, float[N,7,8] k) => (float[N,5,7] y) {
            [e] y = Einsum<equation="bid,bjd->bij">(q, k)
        }"""
    )["e"]

    assert found.macs == 5 * 7 * 8


def test_a_recurrent_cell_multiplies_input_and_state_at_each_step() -> None:
    """LSTM of text recognisers: 4 gates, 9 steps, 2 directions."""
    found = worked(
        """g (float[9,1,6] x) => (float[9,2,1,5] y) {
            [lstm] y = LSTM<hidden_size=5, direction="bidirectional">(x, w, r)
        }""",
        w=(2, 20, 6),
        r=(2, 20, 5),
    )["lstm"]

    assert found.macs == (9 * 2 * 4 * 5 * (6 + 5)) // 9  # its first axis is taken for the batch
    assert found.weights == 2 * 20 * 6 + 2 * 20 * 5


def test_a_fixed_batch_counts_one_sample() -> None:
    """Weights are shared by the batch, activations are not."""
    text = "g (float[{0},3,8,8] x) => (float[{0},4,8,8] y) {{ [c] y = Conv(x, w) }}"
    four, open_ = (worked(text.format(n), w=(4, 3, 1, 1))["c"] for n in ("4", "N"))

    assert four == open_


def test_what_depends_on_the_data_is_not_known() -> None:
    found = worked(
        """g (float[N,3] x) => (float y) {
            [nz] i = NonZero(x)
            [cast] f = Cast<to=1>(i)
            [sum] y = ReduceSum<keepdims=0>(f)
        }"""
    )

    assert {name: w.known for name, w in found.items()} == {
        "nz": False,
        "cast": False,
        "sum": False,
    }


def test_a_branch_is_not_known() -> None:
    found = worked(
        """g (bool c, float[2] x) => (float[2] y) {
            [if] y = If (c) <
                then_branch = t () => (float[2] a) { a = Relu(x) },
                else_branch = e () => (float[2] b) { b = Neg(x) }
            >
        }"""
    )

    assert not found["if"].known


@pytest.mark.parametrize("kind", ["STRING", "BOOL", "INT4"])
def test_odd_kinds_of_numbers_have_a_width(kind: str) -> None:
    """A label of text or a mask must not stop a count."""
    graph = Graph(ir.from_proto(model("g (float[1,2] x) => (float[1,2] y) { [n] y = Id(x) }")), "g")
    graph.inputs[0].dtype = ir.DataType[kind]
    (found,) = layer_work(graph)

    assert found.other_bytes in (2, 16)


def test_resnet20_is_as_published() -> None:
    """He et al. 2016, the network for CIFAR-10 without projections: 40.8 million by common counters.

    By hand: 442368 + 6 * 2359296 + 2 * (1179648 + 5 * 2359296) + 640 = 40551040; counters add
    BatchNorm to it.
    """
    lines, shapes, last = [], {}, "x"

    def conv(name: str, inside: int, outside: int, stride: int) -> None:
        nonlocal last
        shapes[f"w{name}"] = (outside, inside, 3, 3)
        lines.append(
            f"[{name}] {name}_y = Conv<pads=[1,1,1,1], strides=[{stride},{stride}]>({last}, w{name})"
        )
        last = f"{name}_y"

    conv("stem", 3, 16, 1)
    width = 16
    for stage, outside in enumerate((16, 32, 64)):
        for number in range(6):
            conv(f"s{stage}_{number}", width, outside, 2 if stage and not number else 1)
            width = outside
    body = "\n".join(lines)
    shapes["fc"] = (10, 64)
    found = worked(
        f"g (float[N,3,32,32] x) => (float[N,10] y) {{ {body} a = GlobalAveragePool({last}) "
        "f = Flatten(a) [fc] y = Gemm<transB=1>(f, fc) }",
        **shapes,
    )
    total = sum(w.macs for w in found.values())

    assert total == 40_551_040
    assert total == pytest.approx(40.8e6, rel=0.01)


def test_efficientnet_lite0_is_as_its_table_of_layers() -> None:
    """Tan and Le 2019, table 1, at 224x224 without squeeze and excitation: 385 million by hand."""
    table = [(1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3)]
    table += [(6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)]
    lines, shapes, width, last = [], {}, 32, "stem"
    lines.append("[stem] stem = Conv<strides=[2,2], pads=[1,1,1,1]>(x, w_stem)")
    shapes["w_stem"] = (32, 3, 3, 3)
    for number, (expand, kernel, stride, outside, repeats) in enumerate(table):
        for turn in range(repeats):
            name, pad, step = f"b{number}_{turn}", kernel // 2, 1 if turn else stride
            inside = width * expand
            if expand > 1:
                shapes[f"w_{name}e"] = (inside, width, 1, 1)
                lines.append(f"[{name}e] {name}e = Conv({last}, w_{name}e)")
                last = f"{name}e"
            shapes[f"w_{name}d"] = (inside, 1, kernel, kernel)
            shapes[f"w_{name}p"] = (outside, inside, 1, 1)
            pads = ",".join([str(pad)] * 4)
            lines.append(
                f"[{name}d] {name}d = Conv<group={inside}, strides=[{step},{step}], pads=[{pads}]>"
                f"({last}, w_{name}d)"
            )
            lines.append(f"[{name}p] {name}p = Conv({name}d, w_{name}p)")
            width, last = outside, f"{name}p"
    shapes |= {"w_head": (1280, 320, 1, 1), "w_fc": (1000, 1280)}
    body = "\n".join(lines)
    found = worked(
        f"g (float[N,3,224,224] x) => (float[N,1000] y) {{ {body} [head] h = Conv({last}, w_head) "
        "p = GlobalAveragePool(h) f = Flatten(p) [fc] y = Gemm<transB=1>(f, w_fc) }",
        **shapes,
    )

    assert sum(w.macs for w in found.values()) == 385_187_552


def test_a_whole_network_counts_what_torch_counts() -> None:
    """An independent counter: torch's, over the operators that it ran on the same shapes."""
    import torch
    from torch.nn.functional import conv2d, conv_transpose2d, linear
    from torch.utils.flop_counter import FlopCounterMode

    shapes = {"stem": (12, 3, 3, 3), "deep": (12, 1, 5, 5), "up": (12, 6, 2, 2), "key": (6, 8)}
    found = worked(
        """g (float[N,3,8,8] x) => (float[N,64,8] y) {
            tokens = Constant<value_ints=[0, 6, 64]>()
            [a] a = Conv<strides=[2,2], pads=[1,1,1,1]>(x, stem)
            [b] b = Conv<group=12, pads=[2,2,2,2]>(a, deep)
            [c] c = ConvTranspose<strides=[2,2]>(b, up)
            [d] d = Reshape(c, tokens)
            [e] e = Transpose<perm=[0,2,1]>(d)
            [k] k = MatMul(e, key)
            [kt] kt = Transpose<perm=[0,2,1]>(k)
            [seen] seen = MatMul(k, kt)
            [y] y = MatMul(seen, k)
        }""",
        **shapes,
    )
    w = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    with FlopCounterMode(display=False) as counter:
        y = conv2d(torch.empty(1, 3, 8, 8, device="meta"), w["stem"], stride=2, padding=1)
        y = conv2d(y, w["deep"], groups=12, padding=2)
        y = conv_transpose2d(y, w["up"], stride=2)
        k = linear(y.flatten(2).transpose(1, 2), w["key"].T)
        _ = (k @ k.transpose(1, 2)) @ k

    assert sum(x.operations for x in found.values()) == counter.get_total_flops()

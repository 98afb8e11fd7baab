"""Measured times: three kinds of file, names of fused kernels, and every mistake in one sentence."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from quant.common.errors import InputError
from quant.cost.layer_costs import CostTable
from quant.cost.measured_table import with_measured
from quant.cost.measured_times import Latency, LayerNames, read_latency
from quant.cost.roofline import roofline
from quant.graph.prepared_graph import Graph
from quant.target.device import Device
from quant.target.table import TARGETS
from tests.chosen import prepared
from tests.models import conv_relu_net, model, weights

EVEN = Device(name="even", title="Even", peak={"int8": 2e9, "float32": 1e9}, bandwidth=None)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return prepared(conv_relu_net())


@pytest.fixture(scope="module")
def table(graph: Graph) -> CostTable:
    return roofline(graph, TARGETS["tensorrt"], EVEN)


def read(
    folder: Path,
    text: str,
    graph: Graph,
    table: CostTable,
    precision: str | None = None,
    batch: int = 1,
) -> Latency:
    path = folder / "times.csv"
    path.write_bytes(text.encode())
    chosen = {x.name: precision for x in graph.layers} if precision else None
    return read_latency(path, LayerNames(graph), table, chosen, batch)


def test_a_csv_in_any_order_of_columns(tmp_path: Path, graph: Graph, table: CostTable) -> None:
    text = "milliseconds,layer,precision\r\n0.5,conv1,int8\r\n\r\n2,conv2,float32\r\n"
    found = read(tmp_path, text, graph, table)

    assert found.times == {("conv1", "int8"): 0.5, ("conv2", "float32"): 2.0}


def test_a_fused_row_is_shared_out_by_prediction(
    tmp_path: Path, graph: Graph, table: CostTable
) -> None:
    """conv1 does 8*256*27 and conv2 16*64*72 products: 3 to 4."""
    text = "layer,precision,milliseconds\nconv1 + relu1 + conv2,int8,7\n"
    found = read(tmp_path, text, graph, table)

    assert found.times == pytest.approx({("conv1", "int8"): 3.0, ("conv2", "int8"): 4.0})


def test_an_activation_of_its_own_row_adds_to_its_layer(
    tmp_path: Path, graph: Graph, table: CostTable
) -> None:
    text = "layer,precision,milliseconds\nconv1,int8,3\nrelu1,int8,1\n"

    assert read(tmp_path, text, graph, table).times == {("conv1", "int8"): 4.0}


def test_times_of_a_batch_are_a_samples_share(
    tmp_path: Path, graph: Graph, table: CostTable
) -> None:
    text = "layer,precision,milliseconds\nconv1,int8,8\n"

    assert read(tmp_path, text, graph, table, batch=4).times == {("conv1", "int8"): 2.0}


def test_trtexecs_profile(tmp_path: Path, graph: Graph, table: CostTable) -> None:
    """Names as TensorRT joins them; weights' quantizers are passed over, copies are kept apart."""
    rows = [
        {"count": 100},
        {"name": "Reformatting CopyNode for Input Tensor 0 to conv1 + relu1", "averageMs": 0.1},
        {"name": "w1_QuantizeLinear + conv1 + relu1", "timeMs": 9, "averageMs": 0.2},
        {"name": "PWN(PWN(conv2), relu2)", "averageMs": 0.3},
        {"name": "fc || nothing", "averageMs": 0.4},
        {"name": "{ForeignNode[a...b]}", "averageMs": 0.5},
    ]
    found = read(tmp_path, json.dumps(rows), graph, table, "int8")

    assert found.times == {("conv1", "int8"): 0.2, ("conv2", "int8"): 0.3, ("fc", "int8"): 0.4}
    assert list(found.others.values()) == [0.1, 0.5]


def test_ascends_table_is_the_mean_over_its_inferences(
    tmp_path: Path, graph: Graph, table: CostTable
) -> None:
    """The compiler writes the names of what it fused one behind the other; times are in us."""
    text = (
        "Device_id,Op Name,OP Type,Task Type,Task Duration(us),Block Num\n"
        "0,conv1relu1,Conv2D,AI_CORE,100.0,2\n"
        "0,trans_TransData_0,TransData,AI_CORE,30.0,2\n"
        "0,conv1relu1,Conv2D,AI_CORE,300.0,2\n"
    )
    found = read(tmp_path, text, graph, table, "float16")

    assert found.times == {("conv1", "float16"): pytest.approx(0.2)}
    assert found.others == {"trans_TransData_0": pytest.approx(0.03)}


def test_names_that_our_tables_guard_and_exports_clean_are_read_back(tmp_path: Path) -> None:
    """`=cmd` has an apostrophe in our CSV, and `a:b` is `a_b` in an engine."""
    net = prepared(
        model(
            "g (float[N,3,4,4] x) => (float[N,2,4,4] y) { a = Conv(x, w) b = Conv(a, v) y = Conv(b, v) }",
            weights(0, w=(2, 3, 1, 1), v=(2, 2, 1, 1)),
        )
    )
    for node, name in zip(net.nodes, ("=cmd", "a:b", "x, 'y' + z\n"), strict=True):
        node.name = name
    costs = roofline(net, TARGETS["tensorrt"], EVEN)
    text = "layer,precision,milliseconds\n'=cmd,int8,1\na_b,int8,2\n\"x, 'y' + z\n\",int8,3\n"
    found = read(tmp_path, text, net, costs)

    assert found.times == {("=cmd", "int8"): 1, ("a:b", "int8"): 2, ("x, 'y' + z\n", "int8"): 3}


HEADER = "layer,precision,milliseconds\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "",
            ":1: measured times have the columns layer, precision, milliseconds, saw ''. Mend the first line.",
        ),
        (
            "layer,ms\n",
            (
                ":1: measured times have the columns layer, precision, milliseconds, saw 'layer,ms'. Mend "
                "the first line."
            ),
        ),
        (HEADER, ": it has no line but the first. Add a line for each layer."),
        (
            HEADER + "conv1,int8\n",
            ":2: a line has 3 cells, saw 2. Put a name with a comma in double quotes.",
        ),
        (
            HEADER + "conv3,int8,1\n",
            ":2: no layer is named 'conv3'. Did you mean 'conv2'? Write it as quant roofline does.",
        ),
        (
            HEADER + "conv1,int9,1\n",
            (
                ":2: no precision is named 'int9'. Did you mean 'int8'? Known: int8, fp8, w4a8, w4a4, "
                "w8a16, float32, float16."
            ),
        ),
        (
            HEADER + "conv1,int8,fast\n",
            ":2: a time is a number from 0 up, saw 'fast'. Write 0.125 for 125 us.",
        ),
        (
            HEADER + "conv1,int8,-1\n",
            ":2: a time is a number from 0 up, saw '-1'. Write 0.125 for 125 us.",
        ),
        (
            HEADER + "conv1,int8,nan\n",
            ":2: a time is a number from 0 up, saw 'nan'. Write 0.125 for 125 us.",
        ),
        (
            HEADER + "conv1,int8,1\nconv1,int8,2\n",
            ":3: 'conv1' in int8 is listed twice. Keep one of both lines.",
        ),
        (HEADER + '"conv1', ": it is no CSV: unexpected end of data. Mend that place."),
        (
            "[]",
            (
                ": none of its 0 rows is a layer of the model, for example ''. Give the --model that the "
                "engine was built from."
            ),
        ),
        (
            '[{"name": "else", "averageMs": 1}]',
            (
                ": none of its 1 rows is a layer of the model, for example 'else'. Give the --model that "
                "the engine was built from."
            ),
        ),
        (
            '{"name": "conv1"}',
            (
                ": it is no JSON of trtexec --exportProfile, a list of name and averageMs: KeyError: "
                "'averageMs'. Export it again."
            ),
        ),
        (
            "[1]",
            (
                ": it is no JSON of trtexec --exportProfile, a list of name and averageMs: TypeError: "
                "argument of type 'int' is not iterable. Export it again."
            ),
        ),
        (
            "Op Name,Task Duration(us)\nconv1\n",
            ":2: the line is cut off. Export the table again.",
        ),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, graph: Graph, table: CostTable, text: str, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, graph, table, "int8")

    assert str(caught.value) == f"{tmp_path / 'times.csv'}{said}"


def test_a_profile_needs_to_know_its_precision(
    tmp_path: Path, graph: Graph, table: CostTable
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, '[{"name": "conv1", "averageMs": 1}]', graph, table)

    assert str(caught.value) == (
        f"{tmp_path / 'times.csv'}: a profile does not say in which precision the network was built. "
        "Give one --precision."
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        (b"\xff\xfe\x00", "it is not text in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read(
    tmp_path: Path, graph: Graph, table: CostTable, content: bytes | None, said: str
) -> None:
    path = tmp_path / "times.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_latency(path, LayerNames(graph), table)

    assert str(caught.value) == f"{path}: cannot be read: {said}. Mend the path."


def test_what_was_not_measured_is_scaled_to_what_was(
    tmp_path: Path, graph: Graph, table: CostTable
) -> None:
    """conv1 took ten times its prediction, so the rest does: in float32 too, for want of better."""
    table = replace(table, byte_ms=0.5, convert_ms=2.0)
    before = table.layers["conv1", "int8"].milliseconds
    text = f"{HEADER}conv1,int8,{10 * before}\n"
    found = with_measured(table, read(tmp_path, text, graph, table))

    assert found.layers["conv1", "int8"].bound == "measured"
    assert found.layers["conv1", "int8"].milliseconds == pytest.approx(10 * before)
    for key in (("conv2", "int8"), ("conv1", "float32"), ("fc", "w4a8")):
        assert found.layers[key].milliseconds == pytest.approx(10 * table.layers[key].milliseconds)
        assert found.layers[key].bound == table.layers[key].bound
    assert found.layers["flat", "int8"].milliseconds == 0
    assert (found.byte_ms, found.convert_ms) == pytest.approx((5, 20))
    assert found.assumptions[-2:] == (
        (
            f"1 of 5 layers were measured in int8 ({tmp_path / 'times.csv'}): 10 times the prediction; the "
            "other layers are scaled by that."
        ),
        (
            "No layer was measured in float16, float32, fp8, w4a4, w4a8, w8a16: these predictions, and "
            "conversions, are scaled by 10, the ratio over all measured layers."
        ),
    )


def test_each_precision_has_its_own_scale(tmp_path: Path, graph: Graph, table: CostTable) -> None:
    """A board may attain much of its float peak and little of its integer one."""
    one, two = (table.layers["conv1", p].milliseconds for p in ("int8", "float32"))
    text = f"{HEADER}conv1,int8,{8 * one}\nconv1,float32,{2 * two}\n"
    found = with_measured(table, read(tmp_path, text, graph, table))

    for precision, scale in (("int8", 8), ("float32", 2), ("float16", (8 + 4) / 3)):
        key = ("conv2", precision)
        assert found.layers[key].milliseconds == pytest.approx(
            scale * table.layers[key].milliseconds
        )


def test_rows_that_are_no_layer_are_named(tmp_path: Path, graph: Graph, table: CostTable) -> None:
    text = json.dumps([{"name": "conv1", "averageMs": 1}, {"name": "copy", "averageMs": 0.25}])
    found = with_measured(table, read(tmp_path, text, graph, table, "int8"))

    assert found.assumptions[-1] == (
        f"Rows of {tmp_path / 'times.csv'} that are not a layer of the model, 0.25 ms in all, are left "
        "out: 'copy'."
    )

"""Times of kernels go back to the layers that they came from, by names that fusion cannot lose."""

import importlib.util
import sys
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quant.common.errors import UnsupportedError
from quant.cost.layer_costs import conversions
from quant.cost.work import with_input_sizes
from quant.formats.precision import Precision
from quant.graph.session import open_session
from quant.latency.cost_of_kernels import cost_table
from quant.latency.kernel_layers import SpentTime, mapped_share, place_of, with_lost_kernels
from quant.latency.kernel_times import kernel_times
from quant.latency.measure import TimedNetwork, exported_model, measure_cost, plan_with
from quant.latency.numbered_nodes import NodeNumber, first_mark, with_numbered_names
from quant.runtimes.kernel import KernelTime
from quant.runtimes.onnxruntime_profiler import profiling_overhead
from quant.runtimes.openvino_profiler import COUNTED, OpenVinoCounters
from quant.target.table import TARGETS, find_runtime
from tests.chosen import chosen, inputs, prepared, profiled
from tests.export.openvino.nets import every_net
from tests.models import concat_net, conv_relu_net, depthwise_net, model, residual_net, weights
from tests.runs import hostile

openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="openvino is not installed: pip install 'boardquant[openvino]'",
)
RUNTIMES = pytest.mark.parametrize(
    "runtime", ["onnxruntime", pytest.param("openvino", marks=openvino)]
)
Net = Callable[[], onnx.ModelProto]


@RUNTIMES
@pytest.mark.parametrize("net", [conv_relu_net, concat_net, depthwise_net, residual_net, every_net])
def test_nearly_all_of_the_time_belongs_to_a_layer_or_a_conversion(net: Net, runtime: str) -> None:
    """What belongs to nobody is missing in every prediction: 5 % at most."""
    graph = prepared(net())
    feeds = inputs(graph, samples=1)
    network = TimedNetwork(
        graph=graph, profile=profiled(graph), target=TARGETS[runtime], feeds=feeds
    )
    found = measure_cost(network, rounds=3)
    told = {x.name: Precision.FLOAT32 for x in graph.layers}

    assert min(found.mapped.values()) >= 0.95
    assert {p for _, p in found.table.layers} == {"float32", "int8"}
    assert {n for n, _ in found.table.layers} == set(told)
    assert all(x.milliseconds >= 0 and x.bound == "measured" for x in found.table.layers.values())
    total = found.mapped["float32"] * found.totals["float32"]
    assert found.table.milliseconds(told, graph) == pytest.approx(total)


@pytest.mark.parametrize("net", [residual_net, every_net])
@pytest.mark.parametrize("target", ["onnxruntime", "openvino", "tensorrt"])
def test_numbered_names_change_no_number(net: Net, target: str) -> None:
    """The copy is the model, under other names, whatever the names were."""
    graph, plan = chosen(hostile(net()), target)
    model = exported_model(graph, plan, TARGETS[target])
    copy = with_numbered_names(model, graph)
    feeds = inputs(graph, samples=2)
    wanted = open_session(model, threads=1).run(None, feeds)
    made = open_session(copy.model, threads=1).run(
        None, {copy.inputs[k]: x for k, x in feeds.items()}
    )

    np.testing.assert_array_equal(made[0], wanted[0])


def test_numbered_names_hold_nothing_of_the_strangers() -> None:
    graph, plan = chosen(hostile(residual_net()), "onnxruntime")
    copy = with_numbered_names(exported_model(graph, plan, TARGETS["onnxruntime"]), graph).model
    names = [str(n.name) for n in copy.graph]
    names += [str(v.name) for n in copy.graph for v in n.outputs]
    names += list(copy.graph.initializers)

    assert len(set(names)) == len(names)
    assert [n for n in names if not n.replace("_", "").isalnum()] == []
    quantizers = [str(n.name) for n in copy.graph if n.op_type == "QuantizeLinear"]
    assert [n for n in quantizers if first_mark([n]) is None] == []


def test_a_layers_name_goes_before_a_tensors() -> None:
    """A convolution that swallowed its quantizer is the convolution."""
    assert first_mark(["tensor3i_1", "layer12i_2_token_4"]) == NodeNumber("layer", 12)
    assert first_mark(["reorder_token_7", "tensor3i_1"]) == NodeNumber("tensor", 3)
    assert first_mark(["layer1", "player3i", ""]) == NodeNumber("layer", 3)
    assert first_mark(["Transpose_out0"]) is None


def kernel(op: str, name: str, milliseconds: float, *tensors: str) -> KernelTime:
    return KernelTime(op=op, names=(name,), tensors=tensors, milliseconds=milliseconds)


def test_what_changes_the_form_of_numbers_is_told_from_what_computes() -> None:
    rows = {
        kernel("QLinearConv", "layer2i_1_token_3", 1): ("layer", NodeNumber("layer", 2)),
        kernel("QuantizeLinear", "tensor2i_1", 1): ("form", NodeNumber("tensor", 2)),
        kernel("ReorderOutput", "ReorderOutput_token_1", 1, "layer2i_made_1"): (
            "form",
            NodeNumber("layer", 2),
        ),
        kernel("Transpose", "Transpose_token_9", 1, "x", "layer4i_made_1"): (
            "form",
            NodeNumber("layer", 4),
        ),
        kernel("QuantizeLinear", "layer2i_made_2_token", 1): ("form", NodeNumber("layer", 2)),
        kernel("Transpose", "layer4i_1", 1): ("layer", NodeNumber("layer", 4)),
        kernel("Subgraph", "tensor4i_1", 1): ("form", NodeNumber("tensor", 4)),
        kernel("Eltwise", "Multiply_77", 1): ("unknown", None),
    }

    assert {k: place_of(k) for k in rows} == rows
    assert mapped_share(rows) == pytest.approx(7 / 8)
    spent = SpentTime.of(rows)
    assert spent.layers == {2: 1, 4: 1}
    assert spent.forms == {NodeNumber("tensor", 2): 3, NodeNumber("tensor", 4): 2}


def test_the_table_is_what_the_kernels_took() -> None:
    """Times by hand: 2 us a conversion and 3 ns a byte come out as they went in."""
    graph = with_input_sizes(prepared(conv_relu_net()), {"input": (1, 3, 16, 16)})
    names = [x.name for x in graph.layers]
    counts = {"input": 768, "b": 2048}
    byte, each = 3e-6, 2e-3
    precisions = {
        "float32": dict.fromkeys(names, Precision.FLOAT32),
        "int8": {n: Precision.INT8 if n == "conv1" else Precision.FLOAT32 for n in names},
    }
    moved = {t: counts[t] * 5 * byte + each for t, _, _ in conversions(precisions["int8"], graph)}
    assert set(moved) == {"input", "b"}
    times = {
        "float32": [kernel("Conv", "layer0i_1_nchwc", 4.0), kernel("Conv", "layer1i_1", 2.0)],
        "int8": [
            kernel("QuantizeLinear", "input0i_1", moved["input"]),
            kernel("QLinearConv", "layer0i_1_token_1", 1.5),
            kernel("DequantizeLinear", "tensor0i_2", moved["b"]),
            kernel("Conv", "layer1i_1", 2.0),
            kernel("ReorderOutput", "x", 0.25, "layer1i_made_1"),
        ],
    }
    table = cost_table(graph, "onnxruntime", "by hand", times, precisions)

    assert table.byte_ms == pytest.approx(byte)
    assert table.convert_ms == pytest.approx(each)
    assert table.layers["conv1", "float32"].milliseconds == 4.0
    assert table.layers["conv1", "int8"].milliseconds == 1.5
    assert table.layers["conv2", "int8"].milliseconds == pytest.approx(2.25), "its own reorder"
    assert table.layers["conv1", "int8"].weight_bytes == 8 * 3 * 3 * 3
    assert table.layers["conv1", "float32"].weight_bytes == 4 * 8 * 3 * 3 * 3
    predicted = table.milliseconds(precisions["int8"], graph)
    assert predicted == pytest.approx(1.5 + 2.0 + sum(moved.values()))


def test_forms_without_a_change_of_precision_belong_to_layers() -> None:
    """A layout that the float network needs is a part of running it in float."""
    graph = with_input_sizes(prepared(conv_relu_net()), {"input": (1, 3, 16, 16)})
    precisions = {p: {x.name: Precision.FLOAT32 for x in graph.layers} for p in ("float32", "int8")}
    rows = [
        kernel("ReorderInput", "a", 0.5, "reorder_token", "input0i"),
        kernel("Conv", "layer0i_1", 3.0),
        kernel("Conv", "layer1i_1", 1.0),
        kernel("Transpose", "nobody", 0.4),
    ]
    table = cost_table(graph, "openvino", "by hand", dict.fromkeys(precisions, rows), precisions)

    assert table.layers["conv1", "float32"].milliseconds == pytest.approx(3.5 * 4.9 / 4.5)
    assert table.layers["conv2", "float32"].milliseconds == pytest.approx(1.0 * 4.9 / 4.5)
    assert table.byte_ms == 0


def test_a_convolution_that_lost_its_name_is_found_above_what_it_swallowed() -> None:
    """OpenVINO calls a convolution with a factor in its weights `Multiply_7`, after the product."""
    text = """g (float[1,4,8,8] x) => (float[1,4,8,8] y) {
        [first] a = Conv<pads=[1,1,1,1]>(x, w)
        [twice] b = Mul(a, two)
        [more] c = Add(b, two)
        [second] d = Conv<pads=[1,1,1,1]>(c, w)
        [last] y = Add(d, c)
    }"""
    graph = prepared(model(text, {**weights(0, w=(4, 4, 3, 3)), "two": np.float32([2.0])}))
    index = {x.name: i for i, x in enumerate(graph.layers)}
    rows = [
        KernelTime(
            op="Convolution",
            names=("Multiply_7", f"layer{index['more']}i_1"),
            milliseconds=1.0,
        ),
        kernel("Convolution", f"layer{index['second']}i_1", 2.0),
        kernel("Eltwise", f"layer{index['last']}i_1", 0.5),
    ]
    found = [place_of(k)[1] for k in with_lost_kernels(rows, graph)]

    assert [m.index for m in found if m] == [index["first"], index["second"], index["last"]]


def test_a_batch_is_shared_out_among_its_samples() -> None:
    graph = with_input_sizes(prepared(conv_relu_net()), {"input": (4, 3, 16, 16)})
    precisions = {p: {x.name: p for x in graph.layers} for p in (Precision.FLOAT32, Precision.INT8)}
    times = {p: [kernel("Conv", "layer0i_1", 8.0)] for p in precisions}
    table = cost_table(graph, "onnxruntime", "by hand", times, precisions)

    assert table.layers["conv1", "int8"].milliseconds == 2.0
    assert table.elements["input"] == 768
    assert table.byte_ms == table.convert_ms == 0


def test_a_plan_keeps_the_layers_that_it_was_asked_to_keep() -> None:
    graph = prepared(residual_net())
    plan = plan_with(graph, profiled(graph), TARGETS["openvino"], ["conv1", "fc"])
    floats = [
        n for n in ("stem", "conv1", "conv2", "fc") if plan.layers[n].precision is Precision.FLOAT32
    ]

    assert floats == ["conv1", "fc"]


class Counters:
    """A stand-in for OpenVINO: counters that hold the mean of all runs, as its own do."""

    def __init__(self, runs: list[float], counted: bool) -> None:
        self.runs, self.done, self.counted = runs, 0, counted

    def create_infer_request(self) -> "Counters":
        return self

    def get_runtime_model(self) -> "Counters":
        return self

    def get_ordered_ops(self) -> list[Any]:
        return []

    def infer(self, feeds: object) -> None:
        self.done += 1

    @property
    def profiling_info(self) -> list[Any]:
        assert self.counted
        mean = sum(self.runs[: self.done]) / self.done
        spent = timedelta(milliseconds=mean)
        one = {"status": "Status.EXECUTED", "node_type": "Convolution", "node_name": "layer0i"}
        return [SimpleNamespace(**one, real_time=spent)]


def test_openvinos_means_are_taken_apart_and_scaled_to_a_run_without_them() -> None:
    """The first run of 10 ms is not in the mean of the four of 2 ms; nor is what another program took."""
    found = OpenVinoCounters(lambda counted: Counters([10.0, 2.0, 2.0, 2.0, 2.0], counted), 0)
    found._clock = iter(np.arange(100) * 0.0015).__next__
    for _ in range(COUNTED):
        found.run({})

    assert [k.milliseconds for k in found.kernels(0)] == [pytest.approx(1.5)]
    found._whole = [3.0]
    assert [k.milliseconds for k in found.kernels(0)] == [pytest.approx(2.0)]


def test_looking_takes_no_more_than_a_kernel_has() -> None:
    """By hand: 1.2 ms of kernels in a run of 0.9: two give 0.1 each, and one that has 0.1 all of it."""
    look = profiling_overhead([0.1, 0.5, 0.6], 0.9)

    assert look == pytest.approx(0.1)
    assert sum(max(x - look, 0) for x in (0.1, 0.5, 0.6)) == pytest.approx(0.9)
    assert profiling_overhead([0.1, 0.2], 0.9) == 0
    assert profiling_overhead([], 1.0) == 0


def test_without_openvino_its_mend_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    model = ir.from_proto(conv_relu_net())
    with pytest.raises(UnsupportedError) as caught:
        kernel_times({"a": model}, {"a": {}}, runtime=find_runtime("openvino"))

    assert str(caught.value) == (
        "runtime openvino: OpenVINO is not installed here. Run pip install "
        "'boardquant[openvino]', or take the runtime onnxruntime."
    )

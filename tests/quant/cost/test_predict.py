"""quant roofline: from flags to a network under a roofline, as a table, a file and JSON."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from quant.cli.main import quant
from quant.common.errors import InputError
from quant.cost.device_choice import default_device, single_sizes
from quant.cost.network_cost import predicted, predicted_text
from quant.cost.open_sizes import chosen_sizes
from quant.cost.predict import CostQuestion, network_precisions, predict_cost
from quant.cost.roofline import roofline
from quant.graph.prepared_graph import Graph
from quant.job.settings import Job
from quant.preprocess.image_to_tensor import Preprocess
from quant.search.cost_source import cost_table
from quant.target.device import Device
from quant.target.table import TARGETS
from quant.visualize.figures.roofline import write_roofline
from quant.visualize.terminal.roofline import roofline_text
from tests.chosen import chosen, prepared
from tests.models import conv_relu_net, model, weights
from tests.runs import hostile


def two_inputs() -> Graph:
    body = "[c] y = Conv(x, w)  [fc] z = MatMul(m, v)"
    text = "g (float[N,3,H,W] x, float[N,6] m) => (float[N,2,H,W] y, float[N,4] z) { " + body + " }"
    return prepared(model(text, weights(0, w=(2, 3, 1, 1), v=(6, 4))))


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    onnx.save(conv_relu_net(), path)
    return path


def test_a_size_fills_what_is_open() -> None:
    assert chosen_sizes(two_inputs(), ["20x10"]) == {"x": (1, 3, 10, 20), "m": (1, 6)}
    assert chosen_sizes(two_inputs(), ["x=2x3x5x7"]) == {"x": (2, 3, 5, 7), "m": (1, 6)}


def test_a_size_of_channels_last() -> None:
    """Exported from TensorFlow: `[N, H, W, 3]`."""
    graph = prepared(
        model(
            """g (float[N,H,W,3] x) => (float[N,2,H,W] y) {
                t = Transpose<perm=[0,3,1,2]>(x)
                y = Conv(t, w)
            }""",
            weights(0, w=(2, 3, 1, 1)),
        )
    )

    assert chosen_sizes(graph, ["20x10"]) == {"x": (1, 10, 20, 3)}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            [],
            (
                "input 'x': the length of axis 2, 3 is open, and a time needs it. Give --size "
                "WIDTHxHEIGHT."
            ),
        ),
        (
            ["10"],
            (
                "--size: a size is two whole numbers joined by x, saw '10'. Write WIDTHxHEIGHT, for "
                "example 224x224."
            ),
        ),
        (["X=1x3x4x4"], "--size: no input is named 'X'. Known: m, x."),
        (
            ["x=1x3x4x0"],
            "--size: a shape is whole numbers joined by x, saw 'x=1x3x4x0'. Write NAME=1x3x224x224.",
        ),
        (
            ["x=1x4x4x4"],
            "--size: input 'x' has the shape ?x3x?x?, saw 1x4x4x4. Leave what is fixed as it is.",
        ),
        (
            ["8x8", "m=6"],
            "--size: input 'm' has the shape ?x6, saw 6. Leave what is fixed as it is.",
        ),
    ],
)
def test_a_wrong_size_is_one_sentence(said: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        chosen_sizes(two_inputs(), said)

    assert str(caught.value) == message


def test_a_size_that_is_fixed_stays() -> None:
    with pytest.raises(InputError) as caught:
        chosen_sizes(prepared(conv_relu_net()), ["32x16"])

    assert str(caught.value) == (
        "--size: input 'input' is fixed at length 16 in axis 3, saw 32. Leave --size out, or export "
        "the model with open axes."
    )


def test_an_open_axis_of_no_image_is_asked_for_by_name() -> None:
    graph = prepared(
        model(
            "g (float[N,L,6] x) => (float[N,L,4] z) { [fc] z = MatMul(x, v) }", weights(0, v=(6, 4))
        )
    )
    with pytest.raises(InputError) as caught:
        chosen_sizes(graph, [])

    assert str(caught.value) == (
        "input 'x': the length of axis 1 is open, and a time needs it. Give --size x=1xNx6."
    )


def test_a_network_in_int8_keeps_what_has_no_kernel_in_float() -> None:
    """As a plan does: the Softmax of a head is no integer layer because somebody says int8."""
    graph = prepared(
        model(
            "g (float[N,3] x) => (float[N,4] y) { [fc] a = MatMul(x, w)  [soft] y = Softmax(a) }",
            weights(0, w=(3, 4)),
        )
    )
    atlas = TARGETS["atlas"]

    assert network_precisions(graph, atlas, "int8") == {"fc": "int8", "soft": "float16"}
    assert network_precisions(graph, atlas, "float32") == {"fc": "float32", "soft": "float32"}
    assert network_precisions(graph, atlas, "int8", "float32")["soft"] == "float32"


def test_the_default_networks_are_those_that_the_device_has_rates_for(net: Path) -> None:
    """A T4 has no fp8, and an Ascend no float32."""
    names = {
        t: list(predict_cost(CostQuestion(model=str(net), target=t)).networks)
        for t in ("tensorrt", "atlas")
    }

    assert names == {"tensorrt": ["int8", "float32", "float16"], "atlas": ["int8", "float16"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch": 0}, "--batch: must be 1 or more, saw 0. Raise it."),
        (
            {"float_precision": "float64"},
            (
                "--float-precision: TensorRT has no 'float64'. Did you mean 'float16'? Known: float32, "
                "float16."
            ),
        ),
        (
            {"precision": ("int4",)},
            (
                "--precision: TensorRT has no 'int4'. Did you mean 'int8'? Known: int8, fp8, w4a8, w4a4, "
                "w8a16, float32, float16."
            ),
        ),
    ],
)
def test_a_wrong_flag_is_one_sentence(net: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        predict_cost(CostQuestion(model=str(net), target="tensorrt", **change))  # type: ignore[arg-type]

    assert str(caught.value) == said


def test_the_command_prints_a_table_and_writes_its_files(net: Path, tmp_path: Path) -> None:
    """Totals by hand: 55296 + 73728 + 160 multiply-accumulates."""
    made = tmp_path / "layers.csv"
    words = ["roofline", "--model", str(net), "--target", "tensorrt", "--device", "l4"]
    done = CliRunner().invoke(quant, [*words, "--csv", str(made)], catch_exceptions=False)

    assert done.exit_code == 0
    assert (
        "net (input 1x3x16x16) on NVIDIA L4 for TensorRT, batch 1; times of one sample"
        in done.output
    )
    assert "1 that only rename bytes are not listed" in done.output
    (total,) = [x.split() for x in done.output.splitlines() if x.startswith("int8 ")]
    assert total[1] == "0.1292"
    rows = list(csv.DictReader(made.read_text().splitlines()))
    assert {r["network"] for r in rows} == {"int8", "fp8", "float32", "float16"}
    assert {r["layer"] for r in rows} == {"conv1", "conv2", "pool", "flat", "fc"}
    assert {r["measured_ms"] for r in rows} == {"nan"}


def test_measured_times_say_what_falls_short_the_most_lost_first(net: Path, tmp_path: Path) -> None:
    """conv2 lost more time than fc, though fc attains less of its roof."""
    times = tmp_path / "times.csv"
    times.write_text(
        "layer,precision,milliseconds\nfc,int8,0.001\nconv2,int8,0.002\nconv1,int8,0\n"
    )
    asked = CostQuestion(model=str(net), target="tensorrt", measured=times)
    roof = predict_cost(asked)
    rows = {r.cost.layer: r for r in roof.rows("int8")}

    assert [r.cost.layer for r in roof.short("int8")] == ["conv2", "fc"]
    assert rows["conv2"].attained == pytest.approx(rows["conv2"].cost.milliseconds / 0.002)
    assert rows["conv2"].ratio == pytest.approx(0.002 / rows["conv2"].cost.milliseconds)
    text = roofline_text(roof)
    assert "Slower than predicted in int8: 2 of 3 measured layers" in text
    assert "Slower than predicted in float32" not in text
    (total,) = [t for t in roof.totals() if t.precision == "int8"]
    assert total.fps == pytest.approx(1e3 / total.measured_ms)
    assert total.measured_ms > 0.003


def test_json_holds_every_number_and_no_nan(net: Path) -> None:
    words = ["roofline", "--model", str(net), "--target", "nnie", "--json"]
    done = CliRunner().invoke(quant, words, catch_exceptions=False)
    found = json.loads(done.output, parse_constant=lambda name: pytest.fail(name))

    assert found["device"] == "hi3516dv300"
    assert [t["precision"] for t in found["totals"]] == ["int8", "int16"]
    assert found["totals"][0]["macs"] == 55296 + 73728 + 160
    assert found["networks"]["int8"][0]["measured_ms"] is None
    assert any("is not public" in said for said in found["assumptions"])


def test_hostile_names_cannot_write_to_the_terminal_or_become_formulas(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(hostile(conv_relu_net()), path)
    made = tmp_path / "out.csv"
    device = tmp_path / "board.toml"
    device.write_text(
        'title = "\\u001b[31m\\n"\npeak.int8 = 1e12\n[sources]\npeak.int8 = "\\u202e"'
    )
    words = ["roofline", "--model", str(path), "--target", "tensorrt", "--csv", str(made)]
    words += ["--device", str(device)]
    done = CliRunner().invoke(quant, words, catch_exceptions=False)

    assert done.exit_code == 0
    assert all(c.isprintable() or c == "\n" for c in done.output)
    rows = list(csv.reader(made.read_text(encoding="utf-8").splitlines(keepends=True)))
    assert not [cell for row in rows for cell in row if cell[:1] in "=+-@" and cell[:1]]


@pytest.mark.parametrize("target", ["tensorrt", "nnie"])
def test_the_figure_has_the_same_bytes_twice(net: Path, tmp_path: Path, target: str) -> None:
    """With a slope and, where the bandwidth is not public, without."""
    roof = predict_cost(CostQuestion(model=str(net), target=target))
    for name in ("a.png", "b.png"):
        write_roofline(roof, tmp_path / name)

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_the_figure_shows_layers_at_their_measured_rate(net: Path, tmp_path: Path) -> None:
    """A filled point below the roof, at 2 * 55296 operations in 0.1 ms."""
    times = tmp_path / "times.csv"
    times.write_text("layer,precision,milliseconds\nconv1,int8,0.1\n")
    from quant.visualize.figures.roofline import roofline_figure

    roof = predict_cost(CostQuestion(model=str(net), target="tensorrt", measured=times))
    (axes,) = roofline_figure(roof).axes
    (filled,) = [x for x in axes.lines if x.get_label() == "layers in int8"]

    assert list(filled.get_ydata()) == pytest.approx([2 * 55296 / 1e-4])  # type: ignore[arg-type]


def test_the_version_of_a_target_chooses_the_device() -> None:
    atlas, nnie = TARGETS["atlas"].devices, TARGETS["nnie"].devices

    def name(devices: tuple[Device, ...], version: str | None) -> str | None:
        found = default_device(devices, version)
        return found.name if found is not None else None

    assert name(atlas, "Ascend310") == "ascend310"
    assert name(atlas, "Ascend310P3") == "ascend310p3"
    assert name(atlas, "Ascend310B1") == "ascend310b"
    assert name(atlas, "Ascend910") == "ascend310"
    assert name(nnie, "1.1") == "hi3559av100"
    assert name(nnie, "1.2") == "hi3516dv300"
    assert name((), "1.2") is None
    assert name(atlas, None) == "ascend310"


def test_a_run_says_what_its_plan_and_float_would_take() -> None:
    """By hand: every layer is bound by memory; a batch of eight in the samples is one sample here."""
    graph, plan = chosen(conv_relu_net(), "tensorrt")
    target = TARGETS["tensorrt"]
    sizes = single_sizes(graph, {"input": (8, 3, 16, 16)})
    table = roofline(graph, target, target.devices[0], sizes)
    facts = predicted(graph, plan, target, table)
    numbers = (
        (768 + 2048 + 216 + 8) + (2048 + 1024 + 1152 + 16) + (1024 + 16) + (16 + 10 + 160 + 10)
    )

    assert facts["predicted"]["float_ms"] == pytest.approx(4 * numbers / 320e9 * 1e3)
    assert facts["predicted"]["float"] == "float32"
    assert facts["predicted"]["device"] == "t4"
    assert facts["predicted"]["memory"]
    assert 0 < facts["predicted_ms"] < facts["predicted"]["float_ms"]
    assert predicted_text(facts) == (
        f"at least {facts['predicted_ms']:.3g} ms a sample on t4 by its peak rates and memory "
        f"bandwidth; float32 {facts['predicted']['float_ms']:.3g} ms"
    )


def test_a_run_says_that_a_time_without_bytes_is_a_lower_bound() -> None:
    graph, plan = chosen(conv_relu_net(), "nnie")
    target = TARGETS["nnie"]
    device = default_device(target.devices, "1.1")
    assert device is not None
    table = roofline(graph, target, device)
    text = predicted_text(predicted(graph, plan, target, table))

    assert (
        "ms a sample on hi3559av100 by its peak rates alone, for its memory bandwidth is not"
        in text
    )
    assert "public; int16 " in text


def test_a_measured_time_is_no_lower_bound_by_peak_rates() -> None:
    """Layer times that were taken on this machine add up to what a run may well stay below."""
    graph, plan = chosen(conv_relu_net(), "tensorrt")
    target = TARGETS["tensorrt"]
    table = roofline(graph, target, target.devices[0])
    layers = {key: replace(cost, bound="measured") for key, cost in table.layers.items()}
    facts = predicted(graph, plan, target, replace(table, device="runtime 1.0", layers=layers))

    assert facts["predicted"]["measured"]
    assert predicted_text(facts).startswith(
        f"{facts['predicted_ms']:.3g} ms a sample, the sum of layer times measured on runtime 1.0; "
    )
    assert "measured" not in predicted(graph, plan, target, table)["predicted"]


def test_where_no_time_is_known_nothing_is_predicted() -> None:
    """What has no rates still has sizes and operations, and the search can weigh those."""
    graph, plan = chosen(conv_relu_net(), "onnxruntime")
    target = TARGETS["onnxruntime"]
    job = Job(model="", data="", out=Path(), preprocess=Preprocess())
    table = cost_table(graph, target, job, [])

    assert predicted(graph, plan, target, table) == {}
    assert predicted_text({}) == ""
    assert table.megabytes(dict.fromkeys(plan.layers, "int8"), graph) > 0


def test_an_input_of_no_known_shape_is_asked_for() -> None:
    graph = two_inputs()
    graph.inputs[0].shape = None
    with pytest.raises(InputError) as caught:
        chosen_sizes(graph, [])

    assert str(caught.value) == (
        "input 'x': its shape is not known, and a time needs one. Give --size 'x=1x3x224x224' with "
        "its lengths."
    )

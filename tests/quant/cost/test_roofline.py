"""Roofline: times by hand, what is assumed, and what is done where a number is missing."""

from dataclasses import replace

import pytest

from quant.cost.roofline import rate, roofline
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph
from quant.target.device import Device
from quant.target.table import TARGETS
from tests.chosen import prepared
from tests.models import concat_net, depthwise_net, gemm_net, model, residual_net, weights

TENSORRT = TARGETS["tensorrt"]
SLOW = Device(
    name="slow",
    title="Slow",
    peak={"int8": 4e6, "float32": 1e6},
    bandwidth=1e6,
    overhead=1e-3,
    efficiency=0.5,
    sources={"peak.int8": "page 1", "bandwidth": "page 2"},
)


def conv() -> Graph:
    """Return a convolution of 8 * 256 * 27 = 55296 MACs, and a Reshape."""
    return prepared(
        model(
            """g (float[N,3,16,16] x) => (float[N,2048] y) {
                [conv] c = Conv<pads=[1,1,1,1]>(x, w, b)
                [flat] y = Flatten(c)
            }""",
            weights(0, w=(8, 3, 3, 3), b=(8,)),
        )
    )


def test_a_layer_takes_the_longer_of_its_arithmetic_and_its_bytes() -> None:
    """By hand: 110592 operations at half of 4 million, 3064 bytes at 1 million."""
    found = roofline(conv(), TENSORRT, SLOW)
    cost = found.layers["conv", "int8"]

    assert cost.bytes == 768 + 2048 + 216 + 8 * 4
    assert cost.weight_bytes == 216
    assert cost.milliseconds == pytest.approx(110592 / 2e6 * 1e3 + 1)
    assert cost.bound == "compute"
    assert cost.intensity == 110592 / 3064


def test_a_layer_that_moves_much_is_bound_by_memory() -> None:
    device = replace(SLOW, bandwidth=1e4)
    cost = roofline(conv(), TENSORRT, device).layers["conv", "float32"]

    assert cost.bytes == 4 * (768 + 2048 + 216 + 8)
    assert cost.milliseconds == pytest.approx(4 * 3040 / 1e4 * 1e3 + 1)
    assert cost.bound == "memory"


def test_a_view_takes_no_time_not_even_a_start() -> None:
    assert roofline(conv(), TENSORRT, SLOW).layers["flat", "int8"].milliseconds == 0


def test_a_batch_reads_the_weights_and_starts_the_layer_once() -> None:
    """A sample's share of four: its own activations, and a fourth of weights and start."""
    device = replace(SLOW, bandwidth=1e4)
    cost = roofline(conv(), TENSORRT, device, batch=4).layers["conv", "float32"]

    assert cost.milliseconds == pytest.approx((4 * (2816 + 224 / 4) / 1e4 + 1e-3 / 4) * 1e3)


def test_four_bit_weights_run_on_the_kernels_of_int8() -> None:
    """108 bytes of weights instead of 216, the same arithmetic; and it is said."""
    found = roofline(conv(), TENSORRT, SLOW)

    assert found.layers["conv", "w4a8"].bytes == found.layers["conv", "int8"].bytes - 108
    assert found.layers["conv", "w4a8"].weight_bytes == 108
    assert found.layers["conv", "w4a8"].milliseconds == found.layers["conv", "int8"].milliseconds
    assert (
        "Slow has no peak rate for w4a8, w4a4: the arithmetic is counted as that of int8, the bytes at "
        "the width of the precision."
    ) in found.assumptions


@pytest.mark.parametrize(
    ("peak", "precision", "kernel"),
    [
        ({"int8": 2.0, "float16": 1.0}, "fp8", "float16"),
        ({"int8": 2.0, "float16": 1.0}, "w8a16", "float16"),
        ({"int8": 2.0, "float16": 1.0}, "float32", "float16"),
        ({"int8": 2.0, "int16": 1.0}, "w8a16", "int16"),
        ({"int8": 2.0, "int16": 1.0}, "float32", "int16"),  # NNIE's host: a lower bound
        ({"float32": 2.0}, "int8", "float32"),
    ],
)
def test_what_has_no_rate_runs_on_what_can_hold_it(
    peak: dict[str, float], precision: str, kernel: str
) -> None:
    device = Device(name="d", title="D", peak=peak, bandwidth=None)

    assert rate(device, precision) == (kernel, peak[kernel])


def test_without_a_bandwidth_every_layer_is_bound_by_compute_and_it_is_said() -> None:
    """No number is made up for NNIE."""
    nnie = TARGETS["nnie"]
    found = roofline(conv(), nnie, nnie.devices[0])
    cost = found.layers["conv", "int8"]

    assert cost.milliseconds == pytest.approx(110592 / 1e12 * 1e3)
    assert {c.bound for c in found.layers.values()} == {"compute"}
    assert found.conversion("x", Precision.FLOAT32, Precision.INT8) == 0
    assert (
        "The bandwidth of Hi3516DV300 is not public: bytes and conversions take no time, every layer "
        "is bound by compute, and the times are lower bounds; give --bandwidth or a --device file."
    ) in found.assumptions


def test_every_number_stands_in_a_sentence_with_its_source() -> None:
    said = roofline(conv(), TENSORRT, SLOW).assumptions

    assert "Slow computes 4e-06 * 10**12 in int8 operations a second (page 1)." in said
    assert "Slow computes 1e-06 * 10**12 in float32 operations a second (no source given)." in said
    assert "Slow moves 0.001 * 10**9 bytes a second (page 2)." in said
    assert "Layers attain 0.5 of the peak (no source given)." in said
    assert "Starting a layer or a conversion takes 1000 us (no source given)." in said


def test_a_layer_of_unknown_shape_is_named() -> None:
    """It takes its start alone, and nobody may take that for a prediction."""
    graph = prepared(
        model(
            """g (float[N,3] x) => (float[K,M] y) {
                [fc] a = MatMul(x, w)
                [nz] i = NonZero(a)
                [cast] f = Cast<to=1>(i)
                [root] y = Sqrt(f)
            }""",
            weights(0, w=(3, 4)),
        )
    )
    found = roofline(graph, TENSORRT, SLOW)

    assert found.layers["root", "float32"].bound == "unknown"
    assert found.layers["root", "float32"].milliseconds == 1
    assert found.assumptions[-1] == (
        "The work of 'nz', 'cast', 'root' is not known, because a shape depends on the data or the "
        "operator contains graphs of its own: only the overhead is counted."
    )


def test_open_axes_take_the_lengths_that_are_given() -> None:
    graph = prepared(
        model(
            "g (float[N,3,H,W] x) => (float[N,2,H,W] y) { [c] y = Conv(x, w) }",
            weights(0, w=(2, 3, 1, 1)),
        )
    )

    assert roofline(graph, TENSORRT, SLOW).layers["c", "int8"].bound == "unknown"
    assert roofline(graph, TENSORRT, SLOW, {"x": (1, 3, 4, 5)}).layers["c", "int8"].macs == 120


@pytest.mark.parametrize("build", [concat_net, depthwise_net, gemm_net, residual_net])
@pytest.mark.parametrize("name", ["tensorrt", "atlas", "nnie"])
def test_every_layer_has_a_cost_at_every_precision(name: str, build: object) -> None:
    """Whoever searches over precisions meets no hole."""
    target, graph = TARGETS[name], prepared(build())  # type: ignore[operator]
    found = roofline(graph, target, target.devices[0])
    wanted = {
        (x.name, p)
        for x in graph.layers
        for p in (*target.simulated_formats, *target.float_precisions)
    }

    assert set(found.layers) == wanted
    assert all(c.milliseconds >= 0 and c.bound != "unknown" for c in found.layers.values())


@pytest.mark.parametrize("name", list(TARGETS))
def test_every_number_of_every_device_has_a_source(name: str) -> None:
    """A figure that nobody can look up is worth nothing."""
    for device in TARGETS[name].devices:
        numbers = {f"peak.{p}" for p in device.peak}
        numbers |= {"bandwidth"} if device.bandwidth is not None else set()

        assert numbers <= set(device.sources), device.name
        assert device.name == device.name.lower()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peak": {}}, "Device 'slow': rates must be over 0, saw [0.5, 1000000.0]."),
        (
            {"bandwidth": 0.0},
            "Device 'slow': rates must be over 0, saw [4000000.0, 1000000.0, 0.5, 0.0].",
        ),
        (
            {"overhead": -1.0},
            "Device 'slow': overhead must be 0 or more and efficiency at most 1, saw -1.0 and 0.5.",
        ),
    ],
)
def test_a_device_that_cannot_be_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match="Device 'slow'") as caught:
        replace(SLOW, **change)  # type: ignore[arg-type]

    assert str(caught.value) == said

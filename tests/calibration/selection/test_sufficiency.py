"""Whether more samples change anything: ranges and noise against the raw activations, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from quant.calibration.selection.sufficiency import (
    SETTLED_DB,
    Step,
    Sufficiency,
    schedule,
    settled_text,
    sufficiency,
)
from quant.choose.planner import Planner
from quant.target.table import TARGETS
from tests.chosen import prepared, profiled
from tests.models import conv_relu_net, gemm_net

SHAPE = (3, 16, 16)


def samples(count: int, seed: int, scale: float) -> np.ndarray:
    """Return seeded normal samples; the input's own range is in the first of them."""
    return (scale * np.random.default_rng(seed).normal(size=(count, *SHAPE))).astype(np.float32)


def grid(x: np.ndarray) -> tuple[float, float]:
    """Return scale and zero point of a minmax grid of uint8, as the ONNX operator's text says."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    scale = (high - low) / 255
    return scale, float(np.rint(-low / scale))


def ends(scale: float, zero: float) -> tuple[float, float]:
    return -zero * scale, (255 - zero) * scale


def noise(x: np.ndarray, scale: float, zero: float) -> float:
    wide = x.astype(np.float64)
    q = np.clip(np.rint(wide / scale) + zero, 0, 255)
    return float(np.mean((wide - (q - zero) * scale) ** 2))


def test_moves_noise_and_clipping_are_those_of_the_raw_samples() -> None:
    """Of the network's input, whose numbers are at hand; the later samples are half as wide again."""
    graph = prepared(conv_relu_net())
    first, later = samples(16, 0, 1.0), samples(48, 1, 1.5)
    every = np.concatenate([first, later])
    part, full = (profiled(graph, {"input": x}) for x in (first, every))
    target = TARGETS["onnxruntime"]
    (step,) = sufficiency(Planner(target=target, observer="minmax"), graph, [part], full).steps

    before, after = grid(first), grid(every)
    (a, b), (c, d) = ends(*before), ends(*after)
    moved = max(abs(a - c), abs(b - d)) / (d - c)
    rise = 10 * np.log10(noise(every, *before) / noise(every, *after))
    beyond = float(np.mean((later < a) | (later > b)))
    assert step.samples == 16
    assert step.largest >= moved - 1e-6
    assert step.noise_db >= rise - 0.3
    assert step.saturated >= beyond * 0.8
    if step.tensor == "input":
        assert step.largest == pytest.approx(moved, abs=1e-6)
    if step.noisiest == "input":
        assert step.noise_db == pytest.approx(rise, abs=0.3)
    assert 0 < step.median <= step.largest


def test_only_the_input_moves_where_only_it_is_on_a_grid() -> None:
    """One tensor, so that every number of the step is its own."""
    graph = prepared(gemm_net())
    (value,) = graph.inputs
    name = str(value.name)
    shape = [int(d) for d in list(value.shape)[1:]]
    rng = np.random.default_rng(2)
    first = rng.normal(size=(32, *shape)).astype(np.float32)
    later = (1.4 * rng.normal(size=(96, *shape))).astype(np.float32)
    every = np.concatenate([first, later])
    part, full = (profiled(graph, {name: x}) for x in (first, every))

    parts = [replace(p, tensors={name: p.tensors[name]}) for p in (part, full)]
    found = sufficiency(
        Planner(target=TARGETS["onnxruntime"], observer="minmax"), graph, [parts[0]], parts[1]
    )
    (step,) = found.steps
    before, after = grid(first), grid(every)
    (a, b), (c, d) = ends(*before), ends(*after)
    rise = 10 * np.log10(noise(every, *before) / noise(every, *after))

    assert step.tensor == step.noisiest == "a", "what the first layer reads: a view of the input"
    assert step.largest == step.median
    assert step.largest == pytest.approx(max(abs(a - c), abs(b - d)) / (d - c), abs=1e-6)
    assert step.noise_db == pytest.approx(max(rise, 0), abs=0.2)
    assert step.saturated == pytest.approx(np.mean((later < a) | (later > b)), rel=0.1)


def test_the_same_profile_moves_nothing() -> None:
    """And names nobody."""
    graph = prepared(conv_relu_net())
    full = profiled(graph, {"input": samples(8, 0, 1.0)})
    for observer in ("minmax", "mse", "percentile"):
        (step,) = sufficiency(
            Planner(target=TARGETS["onnxruntime"], observer=observer), graph, [full], full
        ).steps
        assert step == Step(
            samples=8,
            largest=0.0,
            tensor="",
            median=0.0,
            noise_db=0.0,
            noisiest="",
            saturated=0.0,
            clipped="",
        )


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt", "atlas", "nnie"])
def test_every_target_has_ranges_to_watch(target: str) -> None:
    """Symmetric grids, logarithmic ones, and the observer that a chip's own tool prescribes."""
    graph = prepared(conv_relu_net())
    part = profiled(graph, {"input": samples(8, 0, 1.0)})
    full = part + profiled(graph, {"input": samples(24, 1, 3.0)})
    found = sufficiency(Planner(target=TARGETS[target]), graph, [part], full)

    assert found.samples == 32
    assert found.target == target
    assert found.steps[0].largest > 0.1


def steps(*noise_db: float) -> Sufficiency:
    made = [
        Step(
            samples=8 * 2**i,
            largest=0.1,
            tensor="t",
            median=0.05,
            noise_db=db,
            noisiest="conv\n1",
            saturated=0.0,
            clipped="",
        )
        for i, db in enumerate(noise_db)
    ]
    return Sufficiency(samples=100, observer="mse", target="onnxruntime", steps=tuple(made))


def test_settled_is_the_first_step_after_which_none_is_loud() -> None:
    """A quiet step before a loud one is luck."""
    quiet, loud = SETTLED_DB, SETTLED_DB + 0.01

    assert steps(loud, quiet, quiet).settled == 16
    assert steps(quiet, loud, quiet).settled == 32
    assert steps(quiet, quiet, loud).settled is None
    assert steps().settled is None


def test_the_message_is_one_sentence_of_one_line() -> None:
    """Whatever the tensor is called."""
    assert settled_text(steps(4.0, 0.5), of="the list") == (
        "settled at 16: with the first 16 of the list, no tensor has over 2 dB more noise than with "
        "all 100 (mse, onnxruntime)"
    )
    assert settled_text(steps(4.0, 3.04)) == (
        "not settled: with the first 16 of the samples, tensor 'conv\\n1' has 3.0 dB more noise than "
        "with all 100; give more"
    )
    assert settled_text(steps()) == "nothing can be said of 100 samples; give 16 or more"


def test_the_schedule_leaves_out_as_many_samples_as_it_takes() -> None:
    """Else the last step would hold a set against itself."""
    assert schedule(256) == [8, 16, 32, 64, 128]
    assert schedule(255) == [8, 16, 32, 64]
    assert schedule(15) == []

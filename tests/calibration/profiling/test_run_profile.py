"""A profile is what numpy computes from the raw activations, for every order, batch and split."""

import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from quant.calibration.profiling.run_profile import (
    Checkpoint,
    ProfilingOptions,
    profile,
    profile_with,
    settings_fingerprint,
)
from quant.calibration.profiling.statistics_graph import (
    BLIND_STRIDE,
    profiled_tensors,
    with_statistics,
)
from quant.common.errors import InputError
from quant.compare.batch import Batch
from quant.graph.prepared_graph import Graph
from quant.load.open_graph import load
from quant.load.prepare import prepare
from quant.profile.file import load_done, save_profile
from quant.profile.statistics import Profile, TensorProfile
from tests.models import (
    concat_net,
    conv_relu_net,
    depthwise_net,
    gemm_net,
    model,
    residual_net,
    weights,
)

F32 = NDArray[np.float32]
Sample = tuple[str, F32]

NETS = [concat_net, conv_relu_net, depthwise_net, gemm_net, residual_net]
EVERY_NET = pytest.mark.parametrize("net", NETS, ids=lambda n: n.__name__)


def prepared(proto: onnx.ModelProto, folder: Path) -> Graph:
    path = folder / "m.onnx"
    onnx.save(proto, path)
    return prepare(load(str(path)), "m", "m.onnx")


def images(count: int, shape: tuple[int, ...] = (3, 16, 16), seed: int = 0) -> list[Sample]:
    """Return samples of unlike ranges, the first all zeros, the second constant."""
    rng = np.random.default_rng(seed)
    made = [rng.normal(rng.normal(), rng.uniform(0.1, 4), shape) for _ in range(count)]
    made[0] = np.zeros(shape)
    if count > 1:
        made[1] = np.full(shape, -0.7)
    return [(f"photos/{i:03d}.jpg", x.astype(np.float32)) for i, x in enumerate(made)]


def packed(samples: Sequence[Sample], size: int, name: str) -> list[Batch]:
    """Stack samples as `batches` does: a short last batch repeats its last sample."""
    made = []
    for first in range(0, len(samples), size):
        some = samples[first : first + size]
        rows = [x for _, x in some] + [some[-1][1]] * (size - len(some))
        made.append(
            Batch(
                keys=tuple(key for key, _ in some),
                feeds={name: np.stack(rows)},
                labels=(None,) * len(some),
                digests=tuple(
                    int.from_bytes(hashlib.sha256(x.tobytes()).digest(), "big") for _, x in some
                ),
                count=len(some),
            )
        )
    return made


def profiled(graph: Graph, samples: Sequence[Sample]) -> Profile:
    name = str(graph.inputs[0].name)
    return profile(
        graph, packed(samples, with_statistics(graph).batch, name), preprocess="pp", threads=1
    )


def file_bytes(made: Profile, folder: Path) -> bytes:
    save_profile(made, folder / "p.bin")
    return (folder / "p.bin").read_bytes()


def raw(graph: Graph, samples: Sequence[Sample], batch: int = 1) -> dict[str, list[F32]]:
    """Return every activation of every sample, from an independent session with those outputs."""
    proto = onnx.load_from_string(onnx_bytes(graph))
    names = profiled_tensors(graph)
    inputs = {i.name for i in proto.graph.input}
    del proto.graph.output[:]
    kind = onnx.TensorProto.FLOAT
    for name in names:
        if name not in inputs:
            proto.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    wanted = [o.name for o in proto.graph.output]
    feed = str(graph.inputs[0].name)
    found: dict[str, list[F32]] = {name: [] for name in names}
    for _, x in samples:
        values = dict(zip(wanted, session.run(wanted, {feed: np.stack([x] * batch)}), strict=True))
        for name in names:
            whole = x[None] if name == feed else values[name]
            found[name].append(whole[:1] if batch > 1 else whole)
    return found


def onnx_bytes(graph: Graph) -> bytes:
    return bytes(ir.to_proto(graph.model).SerializeToString())


def near(a: object, b: object, scale: float) -> bool:
    """Compare what two float32 sessions, fused and not, computed: 1e-5 of the tensor's largest."""
    return bool(np.all(np.abs(np.asarray(a, np.float64) - np.asarray(b)) <= 1e-5 * scale + 1e-30))


def assert_is_what_numpy_says(seen: TensorProfile, values: Sequence[F32], where: str) -> None:
    every = np.concatenate([v.reshape(-1) for v in values]).astype(np.float64)
    good = every[np.isfinite(every)]
    scale = float(np.abs(good).max(initial=0.0))
    assert seen.count == every.size, where
    assert seen.nonfinite == every.size - good.size, where
    assert near((seen.low, seen.high), (good.min(), good.max()), scale), where
    assert 0 < seen.sampled <= every.size, where
    assert seen.bins.sum() == seen.sampled, where
    assert seen.bins[0] > 0, where
    assert seen.bins[-1] > 0, where
    edges = seen.start * seen.width, (seen.start + seen.bins.size) * seen.width
    assert seen.low <= edges[0] + seen.width, where
    assert edges[1] - seen.width <= seen.high, where
    if not seen.channel_low.size:
        return
    axis = {3: 2, 5: 4}.get(values[0].ndim, 1)  # what MatMul reads has them last
    rows = [np.moveaxis(v, axis, 0).reshape(v.shape[axis], -1).astype(np.float64) for v in values]
    rows = [np.where(np.isfinite(r), r, np.nan) for r in rows]
    with np.errstate(invalid="ignore"):
        low = np.min([np.nan_to_num(r, nan=np.inf).min(axis=1) for r in rows], axis=0)
        high = np.max([np.nan_to_num(r, nan=-np.inf).max(axis=1) for r in rows], axis=0)
    count = [np.maximum((~np.isnan(r)).sum(axis=1), 1) for r in rows]
    mean = sum(np.nan_to_num(r).sum(axis=1) / n for r, n in zip(rows, count, strict=True))
    assert near(seen.channel_low, low, scale), where
    assert near(seen.channel_high, high, scale), where
    assert seen.low == seen.channel_low.min(), where
    assert seen.high == seen.channel_high.max(), where
    means = seen.channel_mean(len(values))
    assert np.abs(means - np.asarray(mean) / len(values)).max() <= 1e-6 * max(scale, 1.0), where


def assert_right(graph: Graph, samples: Sequence[Sample], batch: int = 1) -> Profile:
    """Profile the samples and hold every tensor against numpy."""
    made = profiled(graph, samples)
    values = raw(graph, samples, batch)
    assert set(made.tensors) == set(values)
    for name, one in made.tensors.items():
        assert_is_what_numpy_says(one, values[name], name)
    assert made.provenance.samples == len(samples)
    return made


@EVERY_NET
def test_a_profile_is_what_numpy_computes_from_the_raw_activations(
    net: object, tmp_path: Path
) -> None:
    assert callable(net)
    graph = prepared(net(), tmp_path)
    samples = images(21)

    made = assert_right(graph, samples)
    assert with_statistics(graph).batch == 16  # so that the second batch is partly filled
    assert made.provenance.graph == graph.fingerprint
    assert made.provenance.preprocess == "pp"
    assert made.provenance.settings == settings_fingerprint()
    assert (
        made.provenance.data
        == sum(int.from_bytes(hashlib.sha256(x.tobytes()).digest(), "big") for _, x in samples)
        % 2**256
    )
    image = made.tensors["input"]
    assert image.zeros == 3 * 16 * 16  # the sample of zeros; its tensors are not strided
    assert image.sampled == image.count == 21 * 3 * 16 * 16


@EVERY_NET
def test_order_batches_and_splits_give_the_same_bytes(net: object, tmp_path: Path) -> None:
    """Every row of a run must come out the same wherever it stands in its batch."""
    assert callable(net)
    graph = prepared(net(), tmp_path)
    samples = images(19, seed=1)

    wanted = file_bytes(profiled(graph, samples), tmp_path)
    mixed = samples[:]
    for seed in (0, 1):
        random.Random(seed).shuffle(mixed)
        assert file_bytes(profiled(graph, mixed), tmp_path) == wanted
        for cut in (1, 3, 16, 18):
            parts = [profiled(graph, part) for part in (mixed[:cut], mixed[cut:])]
            assert file_bytes(parts[0] + parts[1], tmp_path) == wanted
            assert file_bytes(parts[1] + parts[0], tmp_path) == wanted
    thirds = [profiled(graph, mixed[i::3]) for i in range(3)]
    assert file_bytes(thirds[2] + (thirds[0] + thirds[1]), tmp_path) == wanted


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("net", [conv_relu_net, gemm_net], ids=lambda n: n.__name__)
def test_a_nonfinite_activation_names_its_sample_and_spoils_no_other(
    net: object, poison: float, tmp_path: Path
) -> None:
    """One broken picture must neither hide nor reach the numbers of the rest."""
    assert callable(net)
    graph = prepared(net(), tmp_path)
    samples = images(18, seed=2)
    for i in (17, 5):
        samples[i][1][1, 2, 3] = poison

    made = profiled(graph, samples)
    image = made.tensors["input"]
    assert image.nonfinite == 2
    assert image.nonfinite_sample == "photos/005.jpg"
    assert image.count == 18 * 768
    finite = np.stack([x for _, x in samples])
    finite = finite[np.isfinite(finite)]
    assert (image.low, image.high) == (finite.min(), finite.max())
    assert image.sampled == finite.size
    values = raw(graph, samples)
    for name, one in made.tensors.items():
        assert_is_what_numpy_says(one, values[name], name)
        assert np.isfinite([one.low, one.high]).all()
        assert bool(one.nonfinite) == bool(one.nonfinite_sample)
    mixed = samples[::-1]
    parts = [profiled(graph, mixed[:4]), profiled(graph, mixed[4:])]
    assert file_bytes(parts[1] + parts[0], tmp_path) == file_bytes(made, tmp_path)
    clean = [one for i, one in enumerate(samples) if i not in (5, 17)]
    rest = [samples[5], samples[17]]
    both = profiled(graph, clean) + profiled(graph, rest)
    assert file_bytes(both, tmp_path) == file_bytes(made, tmp_path)


def test_samples_that_are_all_nonfinite_give_an_empty_range(tmp_path: Path) -> None:
    graph = prepared(conv_relu_net(), tmp_path)
    samples = [("a", np.full((3, 16, 16), np.nan, np.float32))]

    image = profiled(graph, samples).tensors["input"]
    assert (image.low, image.high) == (math.inf, -math.inf)
    assert (image.nonfinite, image.sampled, image.bins.size) == (768, 0, 0)
    assert image.zeros == 0


def test_huge_activations_whose_sum_overflows_are_seen_exactly(tmp_path: Path) -> None:
    """A float32 mean of such a channel is infinite, and the elements are not."""
    graph = prepared(conv_relu_net(), tmp_path)
    samples = images(3, seed=4)
    samples[2] = ("huge", np.full((3, 16, 16), 3e38, np.float32))

    image = profiled(graph, samples).tensors["input"]
    assert image.nonfinite == 0
    assert image.nonfinite_sample == ""
    assert image.high == np.float32(3e38)
    assert image.count == image.sampled == 3 * 768


def conv(batch: str, size: str = "16,16") -> onnx.ModelProto:
    return model(
        f"""g (float[{batch},3,{size}] input) => (float[{batch},8,P,Q] output) {{
            [conv] a = Conv<pads=[1,1,1,1]>(input, w1, b1)
            [sin] b = Sin(a)
            [pool] output = MaxPool<kernel_shape=[2,2], strides=[2,2]>(b)
        }}""",
        weights(3, w1=(8, 3, 3, 3), b1=(8,)),
    )


def test_images_of_any_size_go_through_a_network_that_takes_them(tmp_path: Path) -> None:
    graph = prepared(conv("N", "H,W"), tmp_path)
    rng = np.random.default_rng(5)
    sizes = [(16, 16), (2, 9), (31, 17), (64, 48), (5, 3)]
    samples = [(f"{h}x{w}", rng.normal(0, h, (3, h, w)).astype(np.float32)) for h, w in sizes * 2]

    made = assert_right(graph, samples)
    assert made.tensors["input"].count == 2 * 3 * sum(h * w for h, w in sizes)
    every = [-(-h // BLIND_STRIDE) * -(-w // BLIND_STRIDE) for h, w in sizes]
    assert made.tensors["input"].sampled == 2 * 3 * sum(every)
    wanted = file_bytes(made, tmp_path)
    assert file_bytes(profiled(graph, samples[::-1]), tmp_path) == wanted
    parts = [profiled(graph, samples[1::2]), profiled(graph, samples[::2])]
    assert file_bytes(parts[0] + parts[1], tmp_path) == wanted


@pytest.mark.parametrize("size", ["16,16", "H,W"])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_gives_the_numbers_of_its_samples_alone(
    batch: int, size: str, tmp_path: Path
) -> None:
    """The rows that fill the last batch up are no samples."""
    graph = prepared(conv(str(batch), size), tmp_path)
    samples = images(7, seed=6)

    assert with_statistics(graph).batch == batch
    made = assert_right(graph, samples, batch)
    assert made.tensors["input"].count == 7 * 768
    wanted = file_bytes(made, tmp_path)
    assert file_bytes(profiled(graph, samples[::-1]), tmp_path) == wanted
    parts = [profiled(graph, samples[:3]), profiled(graph, samples[3:])]
    assert file_bytes(parts[1] + parts[0], tmp_path) == wanted
    samples[2][1][0, 0, 0] = np.nan
    parts = [profiled(graph, samples[:3]), profiled(graph, samples[3:])]
    assert file_bytes(parts[1] + parts[0], tmp_path) == file_bytes(
        profiled(graph, samples), tmp_path
    )
    assert parts[0].tensors["input"].nonfinite_sample == "photos/002.jpg"
    assert parts[0].tensors["input"].count == 3 * 768


RANKS = {
    "rank 2": ("N,96", "N,32", "[m] output = MatMul(input, w)", (96,), (96, 32)),
    "rank 3": ("N,20,32", "N,20,8", "[m] output = MatMul(input, w)", (20, 32), (32, 8)),
    "rank 3 long": ("N,900,8", "N,900,8", "[m] output = MatMul(input, w)", (900, 8), (8, 8)),
    "rank 4 thin": (
        "N,64,100,1",
        "N,64,100,1",
        "[m] output = MatMul(input, w)",
        (64, 100, 1),
        (1, 1),
    ),
    "rank 5": ("N,2,4,9,8", "N,2,4,9,8", "[m] output = MatMul(input, w)", (2, 4, 9, 8), (8, 8)),
    "dynamic length": ("N,L,32", "N,L,8", "[m] output = MatMul(input, w)", (21, 32), (32, 8)),
    "one number a sample": (
        *("N,96", "N", "[m] a = MatMul(input, w) [s] output = ReduceSum<keepdims=0>(a, one)"),
        *((96,), (96, 32)),
    ),
    "fixed, one number a sample": (
        *("4,96", "4", "[m] a = MatMul(input, w) [s] output = ReduceSum<keepdims=0>(a, one)"),
        *((96,), (96, 32)),
    ),
    "batch folded into rows": (
        *("N,6,32", "M,8", "[m] a = MatMul(input, w) [r] b = Reshape(a, flat) [s] output = Sin(b)"),
        *((6, 32), (32, 8)),
    ),
    "batch without a name": (
        "?,20,32",
        "?,20,8",
        "[m] output = MatMul(input, w)",
        (20, 32),
        (32, 8),
    ),
    "batch without a name, folded": (
        *("?,6,32", "?,8", "[m] a = MatMul(input, w) [r] b = Reshape(a, flat) [s] output = Sin(b)"),
        *((6, 32), (32, 8)),
    ),
}


@pytest.mark.parametrize("case", RANKS)
def test_tensors_of_every_rank(case: str, tmp_path: Path) -> None:
    before, after, body, shape, weight = RANKS[case]
    proto = model(
        f"g (float[{before}] input) => (float[{after}] output) {{ {body} }}",
        weights(7, w=weight) | {"one": np.array([1]), "flat": np.array([-1, 8])},
    )
    used = {name for node in proto.graph.node for name in node.input}
    for held in [i for i in proto.graph.initializer if i.name not in used]:
        proto.graph.initializer.remove(held)
    graph = prepared(proto, tmp_path)
    samples = images(6, shape, seed=8)

    made = assert_right(graph, samples, 4 if case.startswith("fixed") else 1)
    wanted = file_bytes(made, tmp_path)
    assert file_bytes(profiled(graph, samples[::-1]), tmp_path) == wanted
    parts = [profiled(graph, samples[4:]), profiled(graph, samples[:4])]
    assert file_bytes(parts[0] + parts[1], tmp_path) == wanted


def test_a_number_for_the_whole_run_can_be_watched_and_be_nonfinite(tmp_path: Path) -> None:
    proto = model(
        """g (float[N,3,8,8] input) => (float[] output) {
            [c] a = Conv(input, w)
            [m] output = ReduceMax<keepdims=0>(a)
        }""",
        weights(9, w=(4, 3, 1, 1)),
    )
    graph = prepared(proto, tmp_path)
    samples = images(4, (3, 8, 8), seed=9)
    assert_right(graph, samples)
    samples[3][1][:] = np.nan

    one = profiled(graph, samples).tensors["output"]
    assert (one.count, one.nonfinite, one.nonfinite_sample) == (4, 1, "photos/003.jpg")


def test_a_tensor_that_may_be_empty_is_seen_when_it_is_not(tmp_path: Path) -> None:
    """A detector finds nothing in some pictures, and one of them may be broken besides."""
    proto = model(
        """g (float[1,3,8,8] input) => (float[K] output) {
            [c] a = Conv(input, w)
            [g] over = Greater(a, limit)
            [z] where = NonZero(over)
            [t] rows = Transpose<perm=[1,0]>(where)
            [n] found = GatherND(a, rows)
            [s] output = Sqrt(found)
        }""",
        weights(9, w=(4, 3, 1, 1)) | {"limit": np.array(50, np.float32)},
    )
    graph = prepared(proto, tmp_path)
    samples = [(str(i), x * np.float32(i)) for i, (_, x) in enumerate(images(9, (3, 8, 8)))]
    samples[1][1][0, 0, 0] = np.nan  # empty there
    values = [v.reshape(-1) for v in raw(graph, samples)["output"]]
    assert 0 == min(v.size for v in values) < max(v.size for v in values)

    made = profiled(graph, samples)
    every = np.concatenate(values)
    seen = made.tensors["output"]
    assert (seen.count, seen.nonfinite) == (every.size, 0)
    assert near((seen.low, seen.high), (every.min(), every.max()), float(every.max()))
    assert made.tensors["input"].nonfinite_sample == "1"
    assert file_bytes(profiled(graph, samples[::-1]), tmp_path) == file_bytes(made, tmp_path)


@pytest.mark.parametrize("opset", [13, 18, 20])
def test_opsets_that_spell_the_reductions_differently(opset: int, tmp_path: Path) -> None:
    """From 18 on the axes of ReduceMax are an input, and no longer an attribute."""
    proto = model(
        f"""<opset_import: ["" : {opset}]>
        g (float[N,3,16,16] input) => (float[N,12,8] output) {{
            [conv] a = Conv<strides=[2,2]>(input, w1)
            [flat] b = Reshape(a, flat)
            [mix] output = MatMul(b, w2)
        }}""",
        weights(10, w1=(12, 3, 1, 1), w2=(64, 8)) | {"flat": np.array([0, 12, 64])},
    )
    graph = prepared(proto, tmp_path)

    assert graph.model.opset_imports[""] == max(opset, 17)
    made = assert_right(graph, images(5, seed=11))
    assert made.tensors["output"].channel_low.shape == (8,)


def test_names_that_the_taps_might_take_are_no_hindrance(tmp_path: Path) -> None:
    """The exporters of PyTorch name values val_0, val_1, as onnx_ir does."""
    proto = model(
        """g (float[N,3,16,16] input) => (float[N,8,16,16] val_1) {
            [node_Conv_0] val_0 = Conv(input, val_2)
            [node_1] b = Sin(val_0)
            [node_ReduceMin_2] val_1 = Cos(b)
        }""",
        weights(12, val_2=(8, 3, 1, 1)),
    )
    proto.graph.node[1].output[0] = proto.graph.node[2].input[0] = "quant.tap.1"

    graph = prepared(proto, tmp_path)
    assert "quant.tap.1" in assert_right(graph, images(4, seed=12)).tensors


def test_what_a_relu_absorbs_is_not_watched(tmp_path: Path) -> None:
    made = profiled(prepared(conv_relu_net(), tmp_path), images(2))

    assert list(made.tensors) == ["input", "b", "d", "e", "output"]
    assert made.tensors["b"].low == 0.0


def options(checkpoint: Checkpoint) -> ProfilingOptions:
    """Return the options of a run that saves its unfinished profile."""
    return ProfilingOptions(preprocess="pp", threads=1, checkpoint=checkpoint)


def run_in_two(graph: Graph, samples: Sequence[Sample], path: Path, stop: int) -> Profile:
    """Profile, die after `stop` batches, and go on from the checkpoint."""
    size = with_statistics(graph).batch
    name = str(graph.inputs[0].name)
    first = packed(samples, size, name)

    def until_killed() -> Iterator[Batch]:
        yield from first[:stop]
        raise KeyboardInterrupt

    checkpoint = Checkpoint(path, seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        profile_with(options(checkpoint), graph, until_killed())
    origin = profiled(graph, samples[:1]).provenance
    unfinished = checkpoint.resume(origin)
    assert unfinished is not None
    assert unfinished.profile.provenance.samples == len(unfinished.keys)
    left = [one for one in samples if one[0] not in unfinished.keys]
    resumed = replace(options(checkpoint), unfinished=unfinished)
    return profile_with(resumed, graph, packed(left, size, name)).whole


@pytest.mark.parametrize("stop", [1, 3])
@pytest.mark.parametrize("batch", ["N", "4"])
def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(
    batch: str, stop: int, tmp_path: Path
) -> None:
    graph = prepared(conv(batch), tmp_path)
    samples = images(50 if batch == "N" else 14, seed=13)
    samples[3][1][0, 0, 0] = np.inf
    path = tmp_path / "checkpoint"

    wanted = file_bytes(profiled(graph, samples), tmp_path)
    assert file_bytes(run_in_two(graph, samples, path, stop), tmp_path) == wanted


def test_a_checkpoint_keeps_all_samples_up_to_now(tmp_path: Path) -> None:
    graph = prepared(conv("4"), tmp_path)
    samples = images(10, seed=14)
    checkpoint = Checkpoint(tmp_path / "c", seconds=0.0)
    kept = []

    def watched() -> Iterator[Batch]:
        for one in packed(samples, 4, "input"):
            if checkpoint.path.exists():
                kept.append(load_done(checkpoint.path))
            yield one

    profile_with(options(checkpoint), graph, watched())
    keys = [key for key, _ in samples]
    assert kept == [keys[:4], keys[:8]]


def test_a_checkpoint_is_written_no_more_often_than_asked(tmp_path: Path) -> None:
    graph = prepared(conv("4"), tmp_path)
    checkpoint = Checkpoint(tmp_path / "c", seconds=3600.0)

    profile_with(options(checkpoint), graph, packed(images(10), 4, "input"))
    assert not checkpoint.path.exists()


def test_a_checkpoint_of_another_run_or_cut_short_is_begun_again(tmp_path: Path) -> None:
    graph = prepared(conv("4"), tmp_path)
    made = profiled(graph, images(3))
    checkpoint = Checkpoint(tmp_path / "c")

    assert checkpoint.resume(made.provenance) is None
    checkpoint.save(made, ["b", "a"])
    unfinished = checkpoint.resume(made.provenance)
    assert unfinished is not None
    assert file_bytes(unfinished.profile, tmp_path) == file_bytes(made, tmp_path)
    assert unfinished.keys == ("a", "b")
    for field in ("graph", "preprocess", "settings"):
        assert checkpoint.resume(replace(made.provenance, **{field: "else"})) is None
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-5])
    assert checkpoint.resume(made.provenance) is None


def test_profiles_of_unlike_networks_do_not_add(tmp_path: Path) -> None:
    first = profiled(prepared(conv_relu_net(0), tmp_path), images(2))
    second = profiled(prepared(conv_relu_net(1), tmp_path), images(2))

    wanted = (
        f"profile: it was made with another graph (fingerprint {second.provenance.graph[:12]}, "
        f"wanted {first.provenance.graph[:12]}). Profile again with the same model."
    )
    with pytest.raises(InputError) as caught:
        first + second
    assert str(caught.value) == wanted


def test_no_sample_is_an_error(tmp_path: Path) -> None:
    graph = prepared(conv_relu_net(), tmp_path)

    with pytest.raises(InputError) as caught:
        profile(graph, [])
    assert str(caught.value) == "profile: no sample arrived, wanted at least 1. Check --data."

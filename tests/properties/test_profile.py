"""Two profiles add to the profile of the union, bit for bit: for every order and every split."""

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from quant.calibration.profiling.accumulate import Accumulator, binned, exact
from quant.calibration.profiling.statistics_graph import TensorStatistics
from quant.profile.statistics import (
    HALF,
    SMALLEST_EXPONENT,
    Profile,
    Provenance,
    TensorProfile,
    carried,
    exact_sum,
    exponent_of,
)

F32 = NDArray[np.float32]
Content = tuple[object, ...]

BIGGEST = float(np.finfo(np.float32).max)
ODD = [
    0.0,
    -0.0,
    1e-45,
    -1e-45,
    1.1754942e-38,
    BIGGEST,
    -BIGGEST,
    1.0,
    -1.0,
    6.0,
    4095.5,
    2.0**-108,
]
CHANNELS = 2
finite = st.one_of(
    st.sampled_from([float(np.float32(x)) for x in ODD]),
    st.floats(-8, 8, width=32),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
anything = st.one_of(finite, st.sampled_from([float("nan"), float("inf"), float("-inf")]))


def tensors(elements: st.SearchStrategy[float]) -> st.SearchStrategy[list[F32]]:
    """Return lists of samples `[1, 2, length]`, also of none, and some of them all equal."""
    filled = arrays.arrays(
        np.float32,
        st.tuples(st.just(1), st.just(CHANNELS), st.integers(1, 5)),
        elements=elements,
        fill=elements,
    )
    return st.lists(filled, max_size=7)


def tap(*, per_channel: bool = True, every: int = 1) -> TensorStatistics:
    return TensorStatistics(
        tensor="t",
        channels=CHANNELS if per_channel else 1,
        per_channel=per_channel,
        start=0,
        reduce=(2,) if per_channel else (1, 2),
        steps=((2, 0, every),) if every > 1 else (),
        size=None,
    )


def content(seen: TensorProfile) -> Content:
    """Return every field, arrays with dtype, shape and bytes, floats with their sign."""
    plain = [
        *(seen.count, seen.low.hex(), seen.high.hex(), seen.sampled, seen.zeros),
        *(seen.nonfinite, seen.nonfinite_sample, seen.exponent, seen.start),
    ]
    bulk = (seen.channel_low, seen.channel_high, seen.means, seen.bins)
    return (*plain, *((str(a.dtype), a.shape, a.tobytes()) for a in bulk))


def looked(samples: Sequence[F32], one: TensorStatistics) -> TensorProfile:
    """Look at finite samples, one run each, as the tapped graph would hand them over."""
    accumulator = Accumulator([one])
    for x in samples:
        axes = one.reduce
        part = x[:, :, :: one.steps[0][2]] if one.steps else x
        # ONNX Runtime's mean is float32 and may overflow; here it may be any function of the sample
        mean = (x.astype(np.float64).mean(axis=axes)).astype(np.float32)
        accumulator.add(
            x.min(axis=axes).reshape(1, -1),
            x.max(axis=axes).reshape(1, -1),
            mean.reshape(1, -1),
            [part],
            [x.size],
        )
    return accumulator.result()["t"]


def summed(
    samples: Sequence[F32], one: TensorStatistics, names: Sequence[str] = ()
) -> TensorProfile:
    """Add the samples' profiles from left to right."""
    total = Accumulator([one]).result()["t"]
    for i, x in enumerate(samples):
        total = total + exact(one, x, names[i] if names else str(i))
    return total


def bins_by_hand(values: Sequence[float], exponent: int) -> dict[int, int]:
    """Count floor(x / 2**exponent) in exact rational arithmetic."""
    return dict(Counter(math.floor(Fraction(x) / Fraction(2) ** exponent) for x in values))


def bins_of(seen: TensorProfile) -> dict[int, int]:
    return {seen.start + i: int(n) for i, n in enumerate(seen.bins) if n}


def is_trimmed(seen: TensorProfile) -> bool:
    return seen.bins.size == 0 or (seen.bins[0] > 0 and seen.bins[-1] > 0)


TAPS = pytest.mark.parametrize(
    "one", [tap(), tap(per_channel=False), tap(every=2)], ids=["channels", "whole", "strided"]
)


@TAPS
@given(samples=tensors(finite), data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_order_and_every_split_gives_the_same_bits(
    one: TensorStatistics, samples: list[F32], data: st.DataObject
) -> None:
    """The promise of the Profile: a run on eight machines is the run on one."""
    shuffled = data.draw(st.permutations(samples))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), min_size=2, max_size=2)))
    parts = [shuffled[a:b] for a, b in pairwise([0, *cuts, len(samples)])]

    whole = content(looked(samples, one))
    a, b, c = (looked(part, one) for part in parts)
    assert content(looked(shuffled, one)) == whole
    assert content(a + b + c) == whole
    assert content(a + (b + c)) == whole
    assert content(c + b + a) == whole
    assert content(b + (c + a)) == whole
    # the slow way sees what the fast one sees
    assert content(summed(samples, one)) == whole
    assert content(summed(shuffled[: cuts[0]], one) + looked(shuffled[cuts[0] :], one)) == whole


@TAPS
@given(samples=tensors(anything), data=st.data())
@settings(max_examples=60, deadline=None)
def test_samples_with_nonfinite_elements_add_in_every_order_too(
    one: TensorStatistics, samples: list[F32], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(samples))))
    cut = data.draw(st.integers(0, len(samples)))
    names = [f"photo {i}" for i in range(len(samples))]

    whole = summed(samples, one, names)
    first, second = order[:cut], order[cut:]
    parts = [summed([samples[i] for i in p], one, [names[i] for i in p]) for p in (first, second)]
    assert content(parts[0] + parts[1]) == content(whole)
    assert content(parts[1] + parts[0]) == content(whole)
    broken = [n for n, x in zip(names, samples, strict=True) if not np.isfinite(x).all()]
    assert whole.nonfinite_sample == min(broken, default="")
    assert whole.nonfinite == sum(int((~np.isfinite(x)).sum()) for x in samples)


@TAPS
@given(samples=tensors(anything))
@example(samples=[np.full((1, 2, 3), np.nan, np.float32)])
@example(samples=[np.array([[[np.inf, 1], [np.nan, np.nan]]], np.float32)])
@settings(max_examples=120, deadline=None)
def test_the_numbers_are_those_of_rational_arithmetic(
    one: TensorStatistics, samples: list[F32]
) -> None:
    seen = summed(samples, one)

    every = [float(v) for x in samples for v in x.flat if math.isfinite(v)]
    strided = [x[:, :, :: one.steps[0][2] if one.steps else 1] for x in samples]
    sampled = [float(v) for x in strided for v in x.flat if math.isfinite(v)]
    assert seen.count == sum(x.size for x in samples)
    assert (seen.low, seen.high) == (min(every, default=math.inf), max(every, default=-math.inf))
    assert math.copysign(1, seen.low) == 1 or seen.low != 0
    assert seen.sampled == len(sampled) == seen.bins.sum()
    assert seen.zeros == sum(v == 0 for v in sampled)
    assert bins_of(seen) == bins_by_hand(sampled, seen.exponent)
    assert is_trimmed(seen)
    assert seen.bins.size <= 2 * HALF
    largest = max((abs(v) for v in every), default=0.0)
    fits = largest < 2.0 ** (seen.exponent + 12)
    tight = seen.exponent == SMALLEST_EXPONENT or largest >= 2.0 ** (seen.exponent + 11)
    assert fits
    assert tight or not largest
    if one.per_channel:
        for c in range(CHANNELS):
            own = [float(v) for x in samples for v in x[0, c] if math.isfinite(v)]
            assert seen.channel_low[c] == min(own, default=math.inf)
            assert seen.channel_high[c] == max(own, default=-math.inf)
            means = [np.mean(g, dtype=np.float64) for x in samples if (g := kept(x[0, c])).size]
            mean = seen.channel_mean(len(samples))[c] * len(samples)
            clipped = [float(np.clip(np.float32(m), -(2.0**44), 2.0**44)) for m in means]
            bound = sum(abs(m) for m in clipped) * 2.0**-50 + len(samples) * 2.0**-59
            assert abs(mean - math.fsum(clipped)) <= bound
    else:
        assert seen.channel_low.shape == seen.channel_high.shape == (0,)
        assert seen.means.shape == (2, 0)


def kept(x: F32) -> F32:
    return x[np.isfinite(x)]


def total(limbs: NDArray[np.int64], column: int = 0) -> Fraction:
    """Return what the two limbs stand for, exactly."""
    high, low = (int(part[column]) for part in limbs)
    return (Fraction(high) + Fraction(low, 2**52)) / 2**8


@given(rows=st.lists(finite, min_size=1, max_size=40), cut=st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_the_sum_of_means_is_exact(rows: list[float], cut: int) -> None:
    """A float sum depends on its order; this one is a sum of integers, 2**-60 each."""
    values = np.array(rows, np.float32)[:, None]
    clipped = [max(min(Fraction(v), Fraction(2) ** 44), -(Fraction(2) ** 44)) for v in rows]

    limbs = exact_sum(values)
    assert limbs.dtype == np.int64
    assert 0 <= limbs[1, 0] < 2**52
    assert abs(total(limbs) - sum(clipped)) <= len(rows) * Fraction(1, 2**60)
    if all(v == 0 or abs(v) >= 2.0**-36 for v in rows):  # float32 has 24 bits: multiples of 2**-60
        assert total(limbs) == sum(clipped)
    assert np.array_equal(exact_sum(values[::-1]), limbs)
    if 0 < cut < len(rows):
        assert np.array_equal(carried(exact_sum(values[:cut]) + exact_sum(values[cut:])), limbs)


def test_the_sum_of_a_thousand_greatest_means_does_not_overflow() -> None:
    values = np.full((1024, 2), [BIGGEST, -BIGGEST], np.float32)

    limbs = exact_sum(values)
    assert total(limbs, 0) == 1024 * 2**44
    assert total(limbs, 1) == -1024 * 2**44


def test_thousands_of_runs_do_not_overflow_the_means() -> None:
    """Each run adds up to 2**52 to the low limb, so that 2**11 runs may fill an int64."""
    one, runs = tap(), 5000
    value = np.float32(np.nextafter(np.float32(1), np.float32(0)) * 2.0**-8)
    row = np.full((1, 2), value, np.float32)
    accumulator = Accumulator([one])
    for _ in range(runs):
        accumulator.add(row, row, row, [row], [2])

    seen = accumulator.result()["t"]
    assert total(seen.means) == runs * Fraction(float(value))
    assert seen.count == 2 * runs
    assert seen.sampled == 2 * runs


def test_memory_does_not_grow_with_the_number_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quant.calibration.profiling.accumulate.MAX_PENDING", 1000)
    accumulator = Accumulator([tap(per_channel=False)])
    x = np.random.default_rng(0).normal(size=(1, 400)).astype(np.float32)
    extremes = [x.min(keepdims=True), x.max(keepdims=True), x.mean(keepdims=True)]

    sizes = []
    for _ in range(60):
        accumulator.add(*extremes, [x.copy()], [x.size])
        sizes.append(state(accumulator))
    assert max(sizes[3:]) == max(sizes[:3])
    assert accumulator.result()["t"].count == 60 * 400


def state(accumulator: Accumulator) -> int:
    """Return the elements of all arrays that a Accumulator holds."""

    def elements(x: object) -> int:
        if isinstance(x, np.ndarray):
            return int(x.base.size if x.base is not None else x.size)
        return sum(map(elements, x)) if isinstance(x, list | tuple) else 0

    return sum(elements(x) for x in vars(accumulator).values())


@given(samples=tensors(finite), more=st.integers(0, 70), again=st.integers(0, 70))
@settings(max_examples=80, deadline=None)
def test_coarsening_twice_is_coarsening_once(samples: list[F32], more: int, again: int) -> None:
    """floor(floor(x / w) / 2) = floor(x / 2w): why doubling the bins commutes with addition."""
    seen = summed(samples, tap())
    every = [float(v) for x in samples for v in x.flat]

    nothing = Accumulator([tap()]).result()["t"]
    once = wide(seen, seen.exponent + more + again)
    twice = wide(wide(seen, seen.exponent + more), seen.exponent + more + again)
    assert content(once) == content(twice)
    assert bins_of(once) == bins_by_hand(every, once.exponent)
    assert content(seen + nothing) == content(seen) == content(nothing + seen)


def wide(seen: TensorProfile, exponent: int) -> TensorProfile:
    """Add a profile of nothing that lies on a coarser grid."""
    empty = Accumulator([tap()]).result()["t"]
    coarse = {name: getattr(empty, name) for name in TensorProfile.__slots__} | {
        "exponent": exponent
    }
    return seen + TensorProfile(**coarse)


@given(values=st.lists(finite, max_size=30))
@settings(max_examples=150, deadline=None)
def test_a_bin_is_the_floor_of_the_exact_quotient(values: list[float]) -> None:
    x = np.array(values, np.float32)
    exponent = exponent_of(float(x.min(initial=0)), float(x.max(initial=0)))

    counts = binned(x, exponent)
    assert counts.shape == (2 * HALF,)
    assert {int(i) - HALF: int(counts[i]) for i in np.flatnonzero(counts)} == bins_by_hand(
        values, exponent
    )


@pytest.mark.parametrize(
    ("low", "high", "exponent"),
    [
        (0.0, 0.0, SMALLEST_EXPONENT),
        (math.inf, -math.inf, SMALLEST_EXPONENT),  # nothing was seen
        (0.0, 1e-45, SMALLEST_EXPONENT),
        (0.0, 1.0, -11),  # 1.0 is bin 2048: on a power of two the next wider grid begins
        (0.0, float(np.nextafter(np.float32(1), np.float32(0))), -12),
        (-1.0, 0.5, -11),
        (-BIGGEST, 1.0, 116),
    ],
)
def test_the_grid_depends_on_the_extremes_alone(low: float, high: float, exponent: int) -> None:
    assert exponent_of(low, high) == exponent


def test_a_dead_tensor_does_not_coarsen_a_live_one() -> None:
    live = exact(tap(), np.full((1, 2, 4), 0.37, np.float32), "a")
    dead = exact(tap(), np.zeros((1, 2, 4), np.float32), "b")

    both = live + dead
    assert both.exponent == live.exponent == -13
    assert bins_of(both) == {0: 8, math.floor(float(np.float32(0.37)) * 2**13): 8}
    assert both.zeros / both.sampled == 0.5


@TAPS
def test_a_tensor_without_elements_adds_nothing(one: TensorStatistics) -> None:
    nothing = exact(one, np.empty((1, CHANNELS, 0), np.float32), "a")

    assert content(nothing) == content(Accumulator([one]).result()["t"])


def test_tensors_of_unlike_channels_add_without_their_channels() -> None:
    """Tensors that will share a scale are taken as one, whatever their shapes."""
    one = exact(tap(), np.ones((1, 2, 3), np.float32), "a")
    other = exact(tap(per_channel=False), np.full((1, 2, 3), -2, np.float32), "a")
    profile = Profile(tensors={"one": one, "other": other}, provenance=origin())

    both = profile.group(["one", "other"])
    assert (both.low, both.high, both.count) == (-2.0, 1.0, 12)
    assert both.channel_low.shape == both.channel_high.shape == (0,)
    assert both.means.shape == (2, 0)
    assert content(profile.group(["other", "one"])) == content(both)
    assert content(profile.group(["one"])) == content(one)


def origin(data: int = 0, samples: int = 1) -> Provenance:
    return Provenance(graph="g", preprocess="p", settings="s", data=data, samples=samples)


@given(digests=st.lists(st.integers(0, 2**256 - 1), min_size=3, max_size=3))
def test_the_digest_of_the_data_does_not_depend_on_the_order(digests: list[int]) -> None:
    a, b, c = (Profile(tensors={}, provenance=origin(d)) for d in digests)

    assert (a + b + c).provenance == (c + (b + a)).provenance
    assert (a + b + c).provenance == origin(sum(digests) % 2**256, 3)


def test_centers_lie_in_the_middle_of_their_bins() -> None:
    seen = exact(tap(), np.array([[[-0.75, 0.0], [0.25, 0.75]]], np.float32), "a")

    assert seen.width == 2.0**-12
    centers = seen.centers[seen.bins > 0]
    assert centers.dtype == np.float64
    assert (centers - seen.width / 2).tolist() == [-0.75, 0.0, 0.25, 0.75]

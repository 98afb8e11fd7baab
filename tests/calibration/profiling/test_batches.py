"""Batches: one order whatever the timing, broken samples skipped and counted, threads that stop."""

import random
import threading
import time

import numpy as np
import pytest

from quant.calibration import BadSample, Batch, batches
from quant.calibration.sources.data import Array
from quant.common.errors import InputError


class _Slow:
    """Samples that take a random while; those in `broken` cannot be read."""

    name = "slow"

    def __init__(self, n: int, broken: tuple[int, ...] = (), delay: float = 0.0) -> None:
        self.n, self.broken, self.delay, self.reads = n, broken, delay, 0

    def __len__(self) -> int:
        return self.n

    def key(self, i: int) -> str:
        return f"s{i}\n" if i == 1 else f"s{i}"

    def read(self, i: int) -> dict[str, Array]:
        self.reads += 1
        time.sleep(random.random() * self.delay)
        if i in self.broken:
            raise BadSample("truncated")
        return {"x": np.full((2, 2), i, np.float32), "y": np.array(i % 3)}

    def label(self, i: int) -> int | None:
        return i * 2


def run(
    data: _Slow, size: int, *, max_bad: float = 0.05
) -> tuple[list[Batch], list[tuple[str, str]]]:
    bad: list[tuple[str, str]] = []
    made = list(batches(data, range(len(data)), size, bad=bad, max_bad=max_bad))
    return made, bad


def test_order_and_content_never_depend_on_timing() -> None:
    runs = [run(_Slow(23, (4, 9), 0.004), 4, max_bad=0.2) for _ in range(3)]

    for made, bad in runs:
        assert bad == [("s4", "truncated"), ("s9", "truncated")]
        assert [one.count for one in made] == [4, 4, 4, 4, 4, 1]
        assert [d for one in made for d in one.digests] == [
            d for one in runs[0][0] for d in one.digests
        ]
        values = [v for one in made for v in one.feeds["x"][: one.count, 0, 0].tolist()]
        assert values == [i for i in range(23) if i not in (4, 9)]


def test_the_last_batch_repeats_its_last_sample() -> None:
    made, _ = run(_Slow(5), 3)

    last = made[1]
    assert last.count == 2
    assert last.keys == ("s3", "s4")
    assert last.labels == (6, 8)
    assert len(last.digests) == 2
    assert last.feeds["x"].shape == (3, 2, 2)
    assert last.feeds["x"][:, 0, 0].tolist() == [3, 4, 4]
    assert last.feeds["y"].tolist() == [0, 1, 1]


def test_digests_are_of_the_content_not_of_the_key() -> None:
    class Same(_Slow):
        def read(self, i: int) -> dict[str, Array]:
            return {"x": np.full((2, 2), i // 2, np.float32)}

    made, _ = run(Same(4), 1)

    a, b, c, d = (one.digests[0] for one in made)
    assert a == b
    assert c == d
    assert a != c
    assert 0 <= a < 2**256


def test_any_indices_in_any_order() -> None:
    made = list(batches(_Slow(9), [7, 0, 7], 2, bad=[], max_bad=0))

    assert [one.keys for one in made] == [("s7", "s0"), ("s7",)]


def test_exactly_the_allowed_share_passes_and_one_more_is_counted_to_the_end() -> None:
    made, bad = run(_Slow(20, (1,)), 20)
    assert made[0].count == 19
    assert bad == [("s1\n", "truncated")]

    data = _Slow(20, (1, 3, 5, 19))
    with pytest.raises(InputError) as caught:
        run(data, 1)
    assert str(caught.value) == (
        "--data slow: at most 5 % of the samples may be broken, saw 4 of 20: 's1\\n' (truncated), "
        "'s3' (truncated), 's5' (truncated) and 1 more. Mend them, or raise --max-bad."
    )
    assert data.reads == 20


def test_none_left_is_an_error_unless_the_caller_takes_it() -> None:
    """A held-out part may be one broken image; whoever passes 1 says what that means."""
    assert run(_Slow(2, (0, 1)), 1, max_bad=1.0)[0] == []
    with pytest.raises(InputError) as caught:
        run(_Slow(2, (0, 1)), 1, max_bad=0.99)

    assert str(caught.value) == (
        "--data slow: none of the 2 samples can be read: 's0' (truncated), 's1\\n' (truncated). "
        "Give images or arrays."
    )


class _Growing(_Slow):
    def read(self, i: int) -> dict[str, Array]:
        return {"x": np.zeros((3, 4 + i // 2, 5), np.float32)}


def test_no_indices_are_no_batches_and_no_error() -> None:
    """`--effort fast` learns from no samples at all."""
    assert list(batches(_Slow(3), [], 4, bad=[], max_bad=0.6)) == []


def test_shapes_may_differ_only_in_batches_of_one() -> None:
    made, _ = run(_Growing(4), 1)
    assert [one.feeds["x"].shape for one in made] == [(1, 3, h, 5) for h in (4, 4, 5, 5)]

    with pytest.raises(InputError) as caught:
        run(_Growing(4), 2)
    assert str(caught.value) == (
        "s2: the samples of a batch have one shape, saw 3x5x5 after 3x4x5. "
        "Give --size WIDTHxHEIGHT."
    )


def test_an_error_of_the_data_comes_through_and_a_size_of_0_is_ours() -> None:
    class Refusing(_Slow):
        def read(self, i: int) -> dict[str, Array]:
            raise InputError("wrong shape")

    with pytest.raises(InputError, match=r"^wrong shape$"):
        run(Refusing(3), 1)
    with pytest.raises(ValueError, match=r"^size must be at least 1, saw 0\.$"):
        run(_Slow(3), 0)


def test_closing_early_stops_the_threads_and_little_was_read_ahead() -> None:
    data = _Slow(1000)
    stream = batches(data, range(1000), 2, bad=[], max_bad=0)
    next(stream)
    stream.close()  # type: ignore[attr-defined]

    assert not [t for t in threading.enumerate() if t.name.startswith("quant-read")]
    assert data.reads <= 2 + 2 + 2 * 2

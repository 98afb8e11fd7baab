"""The split: seeded, disjoint while anything is left, nested, and the same everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant.calibration import split
from quant.common.errors import InputError

count = st.integers(1, 60)


@given(n=count, samples=count, holdout=st.integers(0, 60), seed=st.integers(0, 2**64))
def test_sorted_disjoint_and_as_many_as_there_are(
    n: int, samples: int, holdout: int, seed: int
) -> None:
    chosen, measured = split(n, samples, holdout, seed)

    assert chosen == sorted(set(chosen))
    assert measured == sorted(set(measured))
    assert set(chosen) | set(measured) <= set(range(n))
    assert len(chosen) == min(n, samples)
    if samples < n:
        assert not set(chosen) & set(measured)
        assert len(measured) == min(holdout, n - samples)
    else:
        assert set(measured) <= set(chosen)
        assert len(measured) == min(holdout, n)


@given(n=count, samples=count, seed=st.integers(0, 99))
def test_more_samples_contain_fewer(n: int, samples: int, seed: int) -> None:
    assert set(split(n, samples, 0, seed)[0]) <= set(split(n, samples + 1, 0, seed)[0])


def test_the_choice_is_fixed_for_ever() -> None:
    """The first raw words of PCG64(0), which numpy promises not to change, by size."""
    words = [11749869230777074271, 4976686463289251617, 755828109848996024, 304881062738325533]
    order = sorted(range(4), key=words.__getitem__)

    assert split(4, 2, 2, 0) == (sorted(order[:2]), sorted(order[2:]))
    assert split(50, 10, 0, 1) != split(50, 10, 0, 2)


def test_every_index_is_chosen_about_equally_often() -> None:
    """2000 draws of 5 of 20: each 500 times, standard deviation 19.4; 5 of those are allowed."""
    seen = [i for seed in range(2000) for i in split(20, 5, 0, seed)[0]]

    assert all(abs(seen.count(i) - 500) < 97 for i in range(20))


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ((0, 1, 0), "--samples: at least 1 is needed, saw '0'. Raise it."),
        ((1, -1, 0), "--holdout: at least 0 is needed, saw '-1'. Raise it."),
        ((1, 1, -7), "--seed: at least 0 is needed, saw '-7'. Raise it."),
    ],
)
def test_numbers_that_choose_nothing_are_refused(
    numbers: tuple[int, int, int], sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        split(9, *numbers)

    assert str(caught.value) == sentence

"""What the mapper and the first layer do together is (x - mean) / std."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant.export.nnie.files.feeds import choose_norm
from quant.export.nnie.files.mapper_cfg import SCALE_ABOVE

MEANS = st.floats(0, 255) | st.just(0.0)
STDS = st.floats(0.01, 1e5)


def mapped(x: float, kind: int, mean: float, scale: float) -> float:
    """The formulas of the mapper's guide, by hand."""
    return {0: x, 2: x - mean, 3: x * scale, 5: (x - mean) * scale}[kind]


@given(st.lists(st.tuples(MEANS, STDS), min_size=1, max_size=3), st.integers(0, 255))
def test_mapper_and_first_layer_make_the_tensor(pairs: list[tuple[float, float]], x: int) -> None:
    """In the mapper's own formulas: whatever is split, the product is what the model was fed."""
    mean, std = [m for m, _ in pairs], [s for _, s in pairs]
    norm = choose_norm(mean, std)
    factors = norm.factors if norm.factors is not None else np.ones(len(pairs))

    assert norm.data_scale > SCALE_ABOVE
    for c, (m, s) in enumerate(pairs):
        made = factors[c] * mapped(x, norm.norm_type, norm.mean[c], norm.data_scale)
        assert made == pytest.approx((x - m) / s, rel=1e-12)


@pytest.mark.parametrize(
    ("mean", "std", "kind"),
    [((0, 0, 0), (1, 1, 1), 0), ((1, 2, 3), (1, 1, 1), 2), ((0,), (2,), 3), ((5,), (2,), 5)],
)
def test_nothing_is_asked_of_the_mapper_that_changes_nothing(
    mean: tuple[float, ...], std: tuple[float, ...], kind: int
) -> None:
    norm = choose_norm(mean, std)

    assert norm.norm_type == kind
    assert norm.factors is None
    assert norm.data_scale == 1 / std[0]


def test_std_that_differ_leave_the_quotients_to_the_first_layer() -> None:
    norm = choose_norm((1, 2, 3), (50, 100, 60))

    assert norm.data_scale == 1 / 60
    assert norm.factors is not None
    assert norm.factors.tolist() == [60 / 50, 60 / 100, 1.0]


def test_a_scale_that_the_mapper_refuses_goes_to_the_first_layer() -> None:
    """data_scale must be above 1/4096; (0, 4096) is the first std that is not."""
    assert choose_norm((1,), (4095.9,)).factors is None

    norm = choose_norm((1,), (4096,))
    assert (norm.norm_type, norm.data_scale) == (2, 1.0)
    assert norm.factors is not None
    assert norm.factors.tolist() == [1 / 4096]

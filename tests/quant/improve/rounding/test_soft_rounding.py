"""Soft rounding by hand: where it begins, where it ends, and its gradient in float64."""

import numpy as np
import torch

from quant.formats.number_format import INT8, Integer
from quant.improve.rounding.soft_rounding import SoftRounding

FOUR = Integer(bits=4, signed=True, symmetric=True, axis=0)


def rounding() -> SoftRounding:
    """Return 3 weights of 2 channels that were not all rounded to nearest."""
    wanted = torch.tensor([[0.26, -0.9, 0.7], [2.2, -0.1, 9.0]], dtype=torch.float64)
    scale = torch.tensor([0.5, 1.0], dtype=torch.float64)
    now = torch.tensor([[0.0, -1.0, 1.0], [2.0, 0.0, 7.0]], dtype=torch.float64)
    return SoftRounding(FOUR, scale, now, wanted)


def test_it_begins_at_the_integers_it_was_given() -> None:
    """Learning nothing must change nothing, whatever the float weights would round to."""
    made = rounding()

    assert made.weight().tolist() == [[0, -1, 1], [2, 0, 7]]
    assert made.integers().tolist() == [[0, -2, 2], [2, 0, 7]]
    assert float(made.undecided().detach()) == 0


def test_the_neighbour_is_on_the_side_of_the_float_weight_and_on_the_grid() -> None:
    """9 lies beyond the greatest integer, 7: its neighbour can only be 6."""
    made = rounding()
    with torch.no_grad():
        made.v.fill_(99.0)

    assert made.integers().tolist() == [[1, -1, 1], [3, -1, 6]]
    assert made.weight().tolist() == [[0.5, -0.5, 0.5], [3, -1, 6]]


def test_what_is_settled_stays_and_all_are_decided_in_the_end() -> None:
    made = rounding()
    with torch.no_grad():
        made.v.copy_(torch.tensor([[9.0, -9.0, 0.1], [0.3, -0.2, -0.4]]))
    made.settle(1 / 3)
    first = made.frozen.clone()
    with torch.no_grad():
        made.v.neg_()
    made.settle(1.0)

    assert first.tolist() == [[True, True, False], [False, False, False]]
    assert made.h().tolist() == [[1, 0, 0], [0, 1, 1]]
    assert float(made.undecided().detach()) == 0


def test_the_gradient_of_the_loss_is_that_of_differences_in_float64() -> None:
    made = rounding()
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(5, 3)))
    wanted = torch.from_numpy(rng.normal(size=(5, 2)))
    with torch.no_grad():
        made.v.copy_(torch.from_numpy(rng.normal(size=(2, 3))))
        made.e.copy_(torch.from_numpy(0.1 * rng.normal(size=2)))

    def loss() -> torch.Tensor:
        return ((x @ made.weight().T - wanted) ** 2).mean() + 0.3 * made.undecided()

    loss().backward()  # type: ignore[no-untyped-call]
    for variable in (made.v, made.e):
        assert variable.grad is not None
        for index in np.ndindex(*variable.shape):
            kept = float(variable[index].detach())
            found = []
            with torch.no_grad():
                for off in (1e-6, -1e-6):
                    variable[index] = kept + off
                    found.append(float(loss().detach()))
                variable[index] = kept
            difference = (found[0] - found[1]) / 2e-6
            assert abs(float(variable.grad[index]) - difference) < 1e-7


def test_one_scale_for_the_whole_weight() -> None:
    now = torch.tensor([[1.0, -2.0]])
    made = SoftRounding(INT8, torch.tensor(0.5), now, now + 0.1)

    assert made.weight().tolist() == now.tolist()
    assert made.integers().tolist() == [[2, -4]]

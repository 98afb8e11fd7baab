"""The table of observers: which are tried where nobody names one."""

from quant.observers import OBSERVERS
from quant.observers.observer import ObserverTable
from quant.profile.statistics import TensorProfile


def test_what_is_tried_stands_with_the_observer_and_the_widest_comes_first() -> None:
    """A later one must be better by a margin, so that the order is part of the rule."""
    assert OBSERVERS.candidates == ("minmax", "mse", "percentile")
    assert set(OBSERVERS.candidates) < set(OBSERVERS)


def test_an_observer_of_ones_own_is_tried_too() -> None:
    table = ObserverTable()

    @table.add("all", candidate=True)
    def everything(seen: TensorProfile, number: object) -> tuple[float, float]:
        return seen.low, seen.high

    assert table["all"] is everything
    assert table.candidates[:2] == ("minmax", "all")

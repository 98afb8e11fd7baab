"""How to turn a profiled histogram into a range: one file an algorithm."""

from quant.observers.observer import OBSERVERS, Observer

__all__ = ["OBSERVERS", "Observer"]

"""What fitting and learning of weights to samples is told: recipe, seed, threads, rows."""

__all__ = ["ROWS", "FitSettings"]

from dataclasses import dataclass

from quant.plan.recipe import NOTHING, Recipe

ROWS = 4096
"""Rows that a layer is fitted on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """How weights and biases are fitted to samples.

    Attributes:
        recipe: The target's rules; `rounding` and `bias_correction` are read.
        rounding: Fit integers too; False corrects biases only.
        seed: Decides the positions of convolutions that are used, and the order of samples.
        threads: Threads of torch; 0 for all cores.
        rows: About so many rows a layer is fitted on.
    """

    recipe: Recipe = NOTHING
    rounding: bool = True
    seed: int = 0
    threads: int = 0
    rows: int = ROWS

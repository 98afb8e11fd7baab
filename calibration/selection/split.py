"""Selection: which samples calibrate, and which measure."""

__all__ = ["shuffled", "split"]

from collections.abc import Sequence

import numpy as np

from quant.common.errors import InputError


def split(n: int, samples: int, holdout: int, seed: int) -> tuple[list[int], list[int]]:
    """Return the indices to calibrate on, and those to measure on, each sorted ascending.

    Every index draws a 64-bit word from PCG64(seed); the `samples` smallest calibrate and the
    `holdout` next ones measure. So the choice depends on `n` and `seed` alone, not on the platform
    or the version of numpy, and a larger `samples` contains a smaller one's choice.

    The two are disjoint as long as anything is left after calibration; fewer than `holdout` then
    measure if fewer are left. When nothing is left, the calibration samples measure too, at most
    `holdout` of them: the caller says so to the user.

    Args:
        n: How many samples there are, at least 1.
        samples: How many calibrate, at least 1; all, if there are fewer.
        holdout: How many measure, from 0.
        seed: From 0.

    Raises:
        InputError: `samples` is below 1, or `holdout` or `seed` below 0.

    >>> split(5, 3, 2, seed=0)
    ([1, 2, 3], [0, 4])
    """
    for flag, value, least in (("samples", samples, 1), ("holdout", holdout, 0), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"--{flag}: at least {least} is needed, saw '{value}'. Raise it.")
    words = np.random.PCG64(seed).random_raw(n)
    order = [int(i) for i in np.argsort(words, kind="stable")]
    chosen = order[:samples]
    rest = order[samples:] or chosen
    return sorted(chosen), sorted(rest[:holdout])


def shuffled(indices: Sequence[int], seed: int) -> list[int]:
    """Return the indices in an order drawn by lot: a folder's own order goes class by class.

    Each draws a word as in `split`, of another stream of the seed.

    >>> sorted(by_lot([4, 7, 9], seed=0))
    [4, 7, 9]
    """
    words = np.random.PCG64([seed, 1]).random_raw(len(indices))
    return [indices[i] for i in np.argsort(words, kind="stable").tolist()]

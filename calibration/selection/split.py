"""Draw samples at random: which ones calibrate, which ones measure, and the order of reading."""

__all__ = ["random_order", "shuffled", "split"]

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
    order = random_order(n, seed)
    chosen = order[:samples]
    others = order[samples:] or chosen
    return sorted(chosen), sorted(others[:holdout])


def random_order(n: int, seed: int | Sequence[int]) -> list[int]:
    """Return 0 to n - 1 at random, by the words of PCG64(seed), the smallest first.

    The same on every platform and with every version of numpy.

    >>> sorted(random_order(3, seed=0))
    [0, 1, 2]
    """
    words = np.random.PCG64(seed).random_raw(n)
    return [int(i) for i in np.argsort(words, kind="stable")]


def shuffled(indices: Sequence[int], seed: int) -> list[int]:
    """Return the indices in random order: a folder's own order has one class after the other.

    The order is drawn from another stream of the seed than the one that `split` draws from.

    >>> sorted(shuffled([4, 7, 9], seed=0))
    [4, 7, 9]
    """
    return [indices[i] for i in random_order(len(indices), (seed, 1))]

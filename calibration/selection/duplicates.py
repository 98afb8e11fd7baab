"""Find samples that are copies of an earlier one, byte for byte or nearly so."""

__all__ = ["duplicates_of", "exact_copies", "near_copies"]

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quant.calibration.selection.coverage import neighbour_distances

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

MAX_DIFFERENCE = 0.2
"""Root mean square difference of two thumbnails over their contrast, below which they are alike.

Of photographs saved again as JPEG or resized it is 0.002 to 0.13, of two different ones about 1.1,
and 0.3 at the least for one with its colours swapped (docs/selection.md)."""
MAX_DISTANCE = 2.0
"""Distance in the embedding over the typical one of nearest neighbours, above which pictures that
look alike are two to the network: a small thing moved that matters to it."""
MIN_CONTRAST = 0.02
"""The least contrast that counts, as a share of the median one: black frames are alike."""
BLOCK_SIZE = 512
"""Samples that are compared at once."""


def exact_copies(digests: Sequence[int]) -> I64:
    """Return int64 `[samples]`: the first sample with the same digest, or -1 for the first itself.

    >>> exact_copies([7, 8, 7, 7]).tolist()
    [-1, -1, 0, 0]
    """
    first: dict[int, int] = {}
    firsts = [first.setdefault(digest, i) for i, digest in enumerate(digests)]
    return np.array(
        [first_index if first_index != i else -1 for i, first_index in enumerate(firsts)], np.int64
    )


def near_copies(thumbnails: F32, among: I64) -> I64:
    """Return int64 `[samples]`: the first sample that one looks like, or -1.

    Two are alike where ``rms(a - b) < MAX_DIFFERENCE * min(contrast of a, contrast of b)``. Each is compared
    with those before it that are no copies themselves, so a slow pan is no chain of copies.

    Args:
        thumbnails: float32 `[samples, pixels]`, finite in the rows of `among`.
        among: Samples to judge, ascending; the others get -1.
    """
    copies = np.full(len(thumbnails), -1, np.int64)
    x = thumbnails.astype(np.float64)
    contrast = x[among].std(axis=1) if len(among) else np.zeros(0)
    floor = MIN_CONTRAST * float(np.median(contrast)) if len(among) else 0.0
    limit = dict(
        zip(among.tolist(), (MAX_DIFFERENCE * np.maximum(contrast, floor)).tolist(), strict=True)
    )
    originals = np.zeros(0, np.int64)
    for start in range(0, len(among), BLOCK_SIZE):
        block = among[start : start + BLOCK_SIZE]
        against = np.concatenate([originals, block])
        difference = _rms(x[block], x[against])
        bound = np.array([limit[i] for i in against.tolist()])
        new_originals: list[int] = []
        comparable = np.arange(len(against)) < len(originals)
        for row, i in enumerate(block.tolist()):
            near = comparable & (difference[row] < np.minimum(bound, limit[i]))
            if near.any():
                copies[i] = against[int(np.argmax(near))]
            else:
                comparable[len(originals) + row] = True
                new_originals.append(i)
        originals = np.concatenate([originals, np.array(new_originals, np.int64)])
    return copies


def _rms(a: F64, b: F64) -> F64:
    """Return `[len(a), len(b)]`, the root mean square differences of rows."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squares, 0) / max(a.shape[1], 1)), np.float64)


def duplicates_of(alike: I64, points: F64, among: I64) -> I64:
    """Return `alike` without the pairs that the network tells apart.

    Args:
        alike: The result of `near_copies`.
        points: float64 `[samples, axes]`, the embedding.
        among: Samples that were judged.
    """
    copies = among[alike[among] >= 0]
    originals = among[alike[among] < 0]
    if not len(copies) or len(originals) < 3:
        return alike
    typical = float(np.median(neighbour_distances(points[originals])))
    far = np.sqrt(((points[copies] - points[alike[copies]]) ** 2).sum(axis=1))
    result = alike.copy()
    result[copies[far > MAX_DISTANCE * typical]] = -1
    return result

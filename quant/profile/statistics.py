"""Statistics of every activation over samples: exact, bounded in size and mergeable.

Two profiles add, and `a + b` is bit-identical to profiling the union of the samples, for every
order, batch size and split. That holds because nothing in it is a rounded sum: extremes are
maxima, counts are integers, and the histogram lies on an absolute grid:

    bin i of exponent k holds the values x with i <= x / 2**k < i + 1,     |i| <= HALF
    k = max(ceil_exponent(max |x|) - log2(HALF), SMALLEST_EXPONENT)

A wider range doubles the bins by adding neighbours, floor(floor(x / w) / 2) = floor(x / 2w), so
doubling commutes with addition. Source: ours.
"""

__all__ = ["HALF", "Profile", "Provenance", "TensorProfile", "carried", "exact_sum", "exponent_of"]

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from quant.common.errors import InputError

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

HALF = 4096
"""Bins on each side of zero: 8 to 16 bins for each step of an 8-bit grid over [0, max]."""

SMALLEST_EXPONENT = -120
"""2**-120 times any finite float32 is exact or 0, and 2**120 is still a float32."""


def exponent_of(low: float, high: float) -> int:
    """Return the bin exponent k for values in [low, high].

    >>> exponent_of(0.0, 6.0)      # 6 < 2**3, and 4096 = 2**12
    -9
    """
    largest = max(-low, high, 0.0)
    if largest == 0.0:
        return SMALLEST_EXPONENT  # or a dead tensor would coarsen a live one when they add
    return max(int(np.frexp(largest)[1]) - 12, SMALLEST_EXPONENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorProfile:
    """Statistics of one tensor over all samples.

    Attributes:
        count: Elements of all samples together.
        low: Exact least finite element, float32; +inf when there was none.
        high: Exact greatest finite element; -inf when there was none.
        channel_low: float32 `[C]`, exact least per channel (axis 1; the last axis of a rank-3
            tensor, and of a map that layers of tokens make or read); `[0]` where the tensor has no
            fixed channels.
        channel_high: float32 `[C]`, exact greatest per channel.
        means: int64 `[2, C]`, the sum over the samples of each channel's mean, as the exact number
            `(means[0] + means[1] / 2**52) / 2**8` with 0 <= means[1] < 2**52: see `exact_sum`.
        sampled: Elements that entered the histogram (a fixed stride over the positions).
        zeros: Sampled elements that are exactly 0.
        nonfinite: Elements, of all, that are NaN or infinite.
        nonfinite_sample: The first sample (alphabetically) that had one, or "".
        exponent: k of the module's equation.
        start: The bin index of `bins[0]`.
        bins: int64, counts of sampled finite elements; no zero at either end.
    """

    count: int
    low: float
    high: float
    channel_low: F32
    channel_high: F32
    means: I64
    sampled: int
    zeros: int
    nonfinite: int
    nonfinite_sample: str
    exponent: int
    start: int
    bins: I64

    @property
    def width(self) -> float:
        """The width of a bin: 2**exponent."""
        return float(2.0**self.exponent)

    @property
    def centers(self) -> NDArray[np.float64]:
        """float64, the middle of each bin."""
        middles = self.start + np.arange(self.bins.size) + 0.5
        return np.asarray(middles * self.width, np.float64)

    @property
    def nonzero(self) -> NDArray[np.float64]:
        """float64, `bins` without the exact zeros: every grid represents those exactly."""
        counts = self.bins.astype(np.float64)
        if self.zeros and self.start <= 0 < self.start + counts.size:
            counts[-self.start] -= self.zeros
        return counts

    def quantiles(self, share: float) -> tuple[float, float]:
        """Return the range that leaves at most `share` of the sampled elements beyond each end.

        The ends are the outer edges of bins, within [low, high], so that never more is cut off than
        was asked for. (low, high) without any element.
        """
        total = int(self.bins.sum())
        if not total:
            return self.low, self.high
        below = np.cumsum(self.bins)
        first = int(np.searchsorted(below, share * total, side="right"))
        last = int(np.searchsorted(below, (1 - share) * total, side="left"))
        lower, upper = (self.start + first) * self.width, (self.start + last + 1) * self.width
        return max(self.low, lower), min(self.high, upper)

    def channel_mean(self, samples: int) -> NDArray[np.float64]:
        """Return float64 `[C]`: each channel's mean, every sample weighing the same."""
        total = (self.means[0] + self.means[1] * 2.0**-52) * 2.0**-8
        return np.asarray(total / max(samples, 1), np.float64)

    def __add__(self, other: "TensorProfile") -> "TensorProfile":
        """Return the profile of both, as if seen in one run."""
        exponent = max(self.exponent, other.exponent)
        start, bins = _sum(self._coarse(exponent), other._coarse(exponent))
        names = [n for n in (self.nonfinite_sample, other.nonfinite_sample) if n]
        same = self.channel_low.shape == other.channel_low.shape
        nothing = np.empty(0, np.float32)
        return TensorProfile(
            count=self.count + other.count,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            channel_low=np.minimum(self.channel_low, other.channel_low) if same else nothing,
            channel_high=np.maximum(self.channel_high, other.channel_high) if same else nothing,
            means=carried(self.means + other.means) if same else np.empty((2, 0), np.int64),
            sampled=self.sampled + other.sampled,
            zeros=self.zeros + other.zeros,
            nonfinite=self.nonfinite + other.nonfinite,
            nonfinite_sample=min(names, default=""),
            exponent=exponent,
            start=start,
            bins=bins,
        )

    def _coarse(self, exponent: int) -> tuple[int, I64]:
        """Return (start, bins) at a coarser exponent, by adding neighbours."""
        shift = min(exponent - self.exponent, 62)
        if shift == 0 or not self.bins.size:
            return self.start, self.bins
        index = (self.start + np.arange(self.bins.size)) >> shift  # floor, also below zero
        start = int(index[0])
        out = np.zeros(int(index[-1]) - start + 1, np.int64)
        np.add.at(out, index - start, self.bins)
        return start, out


def exact_sum(values: NDArray[np.float32]) -> I64:
    """Return int64 `[2, C]`, the sum of float32 `[N, C]` over N in two limbs, exact and canonical.

    Each value is first rounded to a multiple of 2**-60 and clipped to 2**44 in magnitude; sums of
    the limbs are integer sums, so their order does not matter. At most 2**10 rows a call.

    >>> exact_sum(np.float32([[0.5], [0.25]]))[0].tolist()      # in units of 2**-8
    [192]
    """
    scaled = np.clip(values.astype(np.float64), -(2.0**44), 2.0**44) * 2.0**8
    high = np.floor(scaled)
    low = np.rint((scaled - high) * 2.0**52)
    limbs = [part.astype(np.int64).sum(axis=0) for part in (high, low)]
    return carried(np.stack(limbs))


def carried(limbs: I64) -> I64:
    """Return the limbs of the same number with the low one in [0, 2**52)."""
    high, low = limbs
    return np.stack([high + (low >> 52), low & (2**52 - 1)])


def _sum(a: tuple[int, I64], b: tuple[int, I64]) -> tuple[int, I64]:
    """Add two windows of one grid."""
    windows = [w for w in (a, b) if w[1].size]
    if not windows:
        return 0, np.zeros(0, np.int64)
    start = min(w[0] for w in windows)
    out = np.zeros(max(w[0] + w[1].size for w in windows) - start, np.int64)
    for first, bins in windows:
        out[first - start : first - start + bins.size] += bins
    return start, out


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a profile was taken of; profiles add, and plans accept them, only where these agree.

    Attributes:
        graph: Fingerprint of the prepared graph.
        preprocess: Fingerprint of the preprocessing; "" for arrays that went in verbatim.
        settings: How the statistics are taken: strides, bins, version of the format.
        data: Order-independent digest of the input tensors: sum of SHA-256 modulo 2**256.
        samples: Number of samples.
    """

    graph: str
    preprocess: str
    settings: str
    data: int
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The TensorProfile of every activation by tensor name, and the provenance of all."""

    tensors: Mapping[str, TensorProfile] = field(repr=False)  # megabytes of text
    provenance: Provenance

    def __add__(self, other: "Profile") -> "Profile":
        """Return the profile of both sets of samples.

        Raises:
            InputError: They are of different graphs, preprocessing or settings.
        """
        other.must_match(
            graph=self.provenance.graph,
            preprocess=self.provenance.preprocess,
            settings=self.provenance.settings,
        )
        own, added = self.provenance, other.provenance
        return Profile(
            tensors={name: self.tensors[name] + other.tensors[name] for name in self.tensors},
            provenance=replace(
                own, data=(own.data + added.data) % 2**256, samples=own.samples + added.samples
            ),
        )

    def must_match(self, *, place: str = "profile", **fingerprints: str) -> None:
        """Refuse a profile of something else.

        Args:
            place: What the message starts with, usually the file.
            **fingerprints: `graph=`, `preprocess=` and `settings=` fingerprints.

        Raises:
            InputError: One differs; the message says which.
        """
        words = {
            "graph": ("another graph", "the same model"),
            "preprocess": ("another preprocessing", "the same --size, --mean, --std and the rest"),
            "settings": ("another version of the profiler", "this version"),
        }
        for key, value in fingerprints.items():
            own = getattr(self.provenance, key)
            if own != value:
                raise InputError(
                    f"{place}: it was made with {words[key][0]} (fingerprint {own[:12] or 'none'}, "
                    f"wanted {value[:12] or 'none'}). Profile again with {words[key][1]}."
                )

    def group(self, names: list[str]) -> TensorProfile:
        """Return the statistics of several tensors taken as one: they will share a scale."""
        return reduce(lambda a, b: a + b, (self.tensors[n] for n in names))

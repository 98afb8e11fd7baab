"""How many samples are enough: the number from which on more samples change no range."""

__all__ = ["SETTLED_DB", "Step", "Sufficiency", "schedule", "settled_text", "sufficiency"]

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.choose.activation_grids import activation_grids
from quant.choose.grid_fit import format_of, grid_noise
from quant.choose.grid_inputs import GridInputs
from quant.choose.placement import place
from quant.choose.planner import Planner, usable_tensors
from quant.graph.layers import source_of
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import TensorPlan
from quant.profile.statistics import Profile

SETTLED_DB = 2.0
"""What fewer samples may cost the tensor they cost most, in dB of its own noise: a third of a bit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The ranges from the first `samples` against those from all.

    Attributes:
        samples: Number of the first samples.
        largest: Greatest change of a tensor's range, over the width of its range from all samples.
        tensor: The tensor with that change; "" where nothing moved.
        median: Median change over the tensors.
        noise_db: Greatest rise of a tensor's quantization noise over all samples, in dB.
        noisiest: The tensor with that rise; "" where none rises.
        saturated: Greatest share of the later samples' elements beyond a range from the first.
        clipped: The tensor with that share; "" where none is.
    """

    samples: int
    largest: float
    tensor: str
    median: float
    noise_db: float
    noisiest: str
    saturated: float
    clipped: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sufficiency:
    """How the ranges move as samples are added.

    Attributes:
        samples: Number of samples of the profile that the others are compared with.
        observer: The observer that chose the ranges.
        target: The target whose tensors are compared.
        steps: Ascending in samples, without the full profile's own.
    """

    samples: int
    observer: str
    target: str
    steps: tuple[Step, ...]

    @property
    def settled(self) -> int | None:
        """The fewest samples from which on no tensor's noise is SETTLED_DB over the full set's.

        None where the last step still is.
        """
        settled = None
        for step in reversed(self.steps):
            if step.noise_db > SETTLED_DB:
                break
            settled = step.samples
        return settled

    def facts(self) -> dict[str, Any]:
        """Return the fields as JSON values, `settled` included."""
        return {
            "samples": self.samples,
            "observer": self.observer,
            "target": self.target,
            "settled": self.settled,
            "steps": [asdict(step) for step in self.steps],
        }


def schedule(samples: int, least: int = 8) -> list[int]:
    """Return the sample counts that are compared: powers of two from `least` to half of `samples`.

    The statement on each then rests on as many other samples.

    >>> schedule(100)
    [8, 16, 32]
    """
    counts, count = [], least
    while 2 * count <= samples:
        counts.append(count)
        count *= 2
    return counts


def sufficiency(
    planner: Planner, graph: Graph, parts: Sequence[Profile], full: Profile
) -> Sufficiency:
    """Compare the ranges that the first samples give with those of all.

    Args:
        planner: The planner of the target: it decides which tensors have grids, and by which observer.
        graph: The prepared graph.
        parts: Profiles of the first samples, each within the next.
        full: Profile of all.
    """
    target, observer = planner.target, planner.default_observer
    rules = planner.recipe.of(target.name)
    placed = place(graph, target, rules, usable_tensors(graph, full))

    inputs = GridInputs(
        graph=graph, profile=full, target=target, placed=placed, rules=rules, observer=observer
    )
    of_all = activation_grids(inputs)
    steps = [
        _step(graph, of_all, activation_grids(replace(inputs, profile=part)), part, full)
        for part in parts
    ]
    return Sufficiency(
        samples=full.provenance.samples,
        observer=target.observers[0] if target.observers else observer,
        target=target.name,
        steps=tuple(steps),
    )


def settled_text(result: Sufficiency, of: str = "the samples") -> str:
    """Return one sentence: from where on more samples change nothing, or what they still change.

    Args:
        result: At least one step, else nothing can be said.
        of: What the steps are the first of.
    """
    if not result.steps:
        return f"nothing can be said of {result.samples} samples; give 16 or more"
    last = result.steps[-1]
    if result.settled is None:
        return (
            f"not settled: with the first {last.samples} of {of}, tensor {last.noisiest!r} has "
            f"{last.noise_db:.1f} dB more noise than with all {result.samples}; give more"
        )
    return (
        f"settled at {result.settled}: with the first {result.settled} of {of}, no tensor has over "
        f"{SETTLED_DB:g} dB more noise than with all {result.samples} ({result.observer}, "
        f"{result.target})"
    )


def _step(
    graph: Graph,
    of_all: Mapping[str, TensorPlan],
    of_part: Mapping[str, TensorPlan],
    part: Profile,
    full: Profile,
) -> Step:
    moved, noise, beyond = {}, {}, {}
    for key in of_all.keys() & of_part.keys():
        before, after = of_part[key], of_all[key]
        source = source_of(graph, after.tensor)
        moved[key] = _move(before, after)
        noise[key], beyond[key] = _costs(before, after, part, full, source)
    top, noisy, cut = _greatest(moved), _greatest(noise), _greatest(beyond)
    return Step(
        samples=part.provenance.samples,
        largest=top[1],
        tensor=top[0],
        median=float(np.median(list(moved.values()))) if moved else 0.0,
        noise_db=noisy[1],
        noisiest=noisy[0],
        saturated=cut[1],
        clipped=cut[0],
    )


def _greatest(values: Mapping[str, float]) -> tuple[str, float]:
    """Return name and value of the greatest above 0, the first by name where two are equal."""
    best, value = "", 0.0
    for name in sorted(values):
        if values[name] > value:
            best, value = name, values[name]
    return best, value


def _ends(tensor: TensorPlan) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = format_of(tensor).grid_range(tensor.params)
    return np.asarray(low, np.float64), np.asarray(high, np.float64)


def _move(before: TensorPlan, after: TensorPlan) -> float:
    """Return the greater move of the two ends over the width; the greatest of all channels."""
    (a, b), (c, d) = _ends(before), _ends(after)
    width = np.maximum(d - c, np.finfo(np.float64).tiny)
    return float((np.maximum(np.abs(a - c), np.abs(b - d)) / width).max())


def _costs(
    before: TensorPlan, after: TensorPlan, part: Profile, full: Profile, source: str
) -> tuple[float, float]:
    """Return the rise of the noise over all samples in dB, and the share beyond of the rest."""
    whole, first = full.tensors[source], part.tensors[source]
    total, beyond, noise, _ = grid_noise(before, whole)
    least = grid_noise(after, whole)[2]
    first_total, first_beyond = grid_noise(before, first)[:2]
    others = total - first_total
    share = max(beyond - first_beyond, 0.0) / others if others > 0 else 0.0
    if not (noise > 0 and least > 0):
        return 0.0, share
    return max(10 * float(np.log10(noise / least)), 0.0), share

"""Suspects: which layers of a candidate go wrong, from the tensors that it shares with the reference.

Quantizers of most tools keep the names of the float graph's tensors. Where two graphs share names,
the noise at every shared tensor is measured, and a layer is suspected by what it *adds*: noise to
signal at its output less that at its inputs, as an SQNR in dB.
"""

__all__ = ["suspects"]

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.compare import Samples
from quant.errors import QuantError
from quant.graph import named_values
from quant.grid_nodes import behind_grid
from quant.session import open_session

MOST = 3
TINY = 1e-12
"""Noise to signal of 120 dB: float32's own."""

Sums = NDArray[np.float64]


def suspects(
    reference: ir.Model, candidate: ir.Model, batches: Iterable[Samples], threads: int = 0
) -> tuple[tuple[str, str], ...]:
    """Return up to three layers of the reference that add the most noise, the worst first.

    Each with a phrase; none where the graphs share no tensor between input and output, or where one
    of them cannot run as it is written.
    """
    shared = _shared(reference, candidate)
    if len(shared) < 2:
        return ()
    twins = {n: str(behind_grid(named_values(candidate)[n]).name) for n in shared}
    try:
        ours = open_session(_with_outputs(reference, shared), threads=threads, optimize=False)
        model = _with_outputs(candidate, list(twins.values()))
        theirs = open_session(model, threads=threads, optimize=False)
        noise = _noise(ours, theirs, twins, batches)
    except QuantError:
        return ()
    added = {n: (noise[n] - _before(reference, n, noise), noise[n]) for n in shared}
    ranked = sorted(added, key=lambda n: (-added[n][0], shared.index(n)))
    values = named_values(reference)
    found = []
    for name in ranked[:MOST]:
        maker = values[name].producer()
        new, all_of_it = added[name]
        if maker is not None and new > TINY and new > added[ranked[0]][0] / 10:
            said = f"{_db(all_of_it):.1f} dB at its output, {_db(new):.1f} dB by itself"
            found.append((_layer(maker), said))
    return tuple(found)


def _layer(node: ir.Node) -> str:
    """Return the name of the weighted node behind whose Relu or Clip this is, or its own."""
    source = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    absorbs = node.op_type in ("Relu", "Clip") and source is not None
    return str(source.name if absorbs and source is not None else node.name)


def _shared(reference: ir.Model, candidate: ir.Model) -> list[str]:
    """Return the float tensors that nodes of both graphs make under one name, in order."""
    theirs = named_values(candidate)
    made = [str(v.name) for node in reference.graph for v in node.outputs if v.name]
    ours = named_values(reference)
    return [
        n
        for n in made
        if n in theirs
        and theirs[n].producer() is not None
        and {ours[n].dtype, theirs[n].dtype} <= {None, ir.DataType.FLOAT}
    ]


def _with_outputs(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """Return a copy with these outputs; the type of each is known to be float32."""
    copy = model.clone()
    values = named_values(copy)
    copy.graph.outputs.clear()
    for name in dict.fromkeys(names):
        value = values[name]
        value.dtype = value.dtype or ir.DataType.FLOAT
        copy.graph.outputs.append(value)
    return copy


def _noise(
    ours: Any, theirs: Any, twins: Mapping[str, str], batches: Iterable[Samples]
) -> dict[str, float]:
    """Return noise to signal of each shared tensor; inf where the candidate is not finite."""
    own = [v.name for v in theirs.get_inputs()]
    total: dict[str, Sums] = {name: np.zeros(2) for name in twins}
    for batch in batches:
        feeds = dict(batch.feeds)
        wanted = ours.run(list(twins), feeds)
        named = feeds if set(feeds) <= set(own) else dict(zip(own, feeds.values(), strict=True))
        names = list(dict.fromkeys(twins.values()))
        made = dict(zip(names, theirs.run(names, named), strict=True))
        for (name, twin), a in zip(twins.items(), wanted, strict=True):
            b = made[twin]
            if a.shape != b.shape or not np.isfinite(b).all():
                total[name] += (0.0, math.inf)
                continue
            x = a.astype(np.float64)
            total[name] += (float(np.vdot(x, x)), float(np.vdot(x - b, x - b)))
    return {n: float(e / max(s, 1e-300)) if e else 0.0 for n, (s, e) in total.items()}


def _before(reference: ir.Model, name: str, noise: Mapping[str, float]) -> float:
    """Return the noise that a tensor's maker was given: the most of the nearest shared tensors."""
    found, seen = [0.0], set[int]()
    queue = [named_values(reference)[name].producer()]
    while queue:
        node = queue.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        for value in node.inputs:
            if value is None:
                continue
            if str(value.name) in noise:
                found.append(noise[str(value.name)])
            else:
                queue.append(value.producer())
    return max(x for x in found if not math.isinf(x))


def _db(noise: float) -> float:
    return -10 * math.log10(min(max(noise, TINY), 1e12))

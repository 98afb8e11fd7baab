"""Which layers of a candidate go wrong, by the tensors that it shares with the reference.

Quantizers of most tools keep the names of the float graph's tensors. The candidate is cut at every
tensor that both graphs name, and the reference's own numbers are fed in behind each cut. So what is
measured at a tensor is the error of the one layer before it, at exact inputs: no layer is blamed for
what others did. One graph and one run give it for all layers.
"""

__all__ = ["suspects"]

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from quant.common.errors import QuantError
from quant.compare.batch import Batch
from quant.graph.prepared_graph import named_values
from quant.graph.session import open_session
from quant.metrics.squared_error import SquaredError
from quant.simulate.quantizer_nodes import behind_grid, is_grid

MAX_LAYERS = 3
STANDS_OUT_DB = 6.0
"""A layer whose SQNR is this much below the median has lost a bit more than the others."""
NEAR_DB = 10.0
"""One that is this much better than the worst is not what broke the network."""
FED = "quant.reference."


def suspects(
    reference: ir.Model, candidate: ir.Model, batches: Iterable[Batch], threads: int = 0
) -> tuple[tuple[str, str], ...]:
    """Return up to three layers that stand out by the error they make at exact inputs, worst first.

    Each with a phrase; the single worst one where none stands out; none where the graphs share no
    tensor between input and output, or where one of them cannot run as it is written.

    Args:
        reference: The float model.
        candidate: A quantized form of it, by whatever tool.
        batches: The samples.
        threads: Threads inside one operator; 0 for all cores.
    """
    shared = _shared(reference, candidate)
    if len(shared) < 2:
        return ()
    cut, twins = _cut(candidate, shared)
    try:
        reference_session = open_session(
            _with_outputs(reference, shared), threads=threads, optimize=False
        )
        candidate_session = open_session(cut, threads=threads, optimize=False)
        sqnr_of = _measured(reference_session, candidate_session, twins, batches)
    except QuantError:
        return ()
    ranked = sorted(sqnr_of, key=lambda name: (sqnr_of[name], shared.index(name)))
    middle = sqnr_of[ranked[len(ranked) // 2]]
    near = [n for n in ranked if sqnr_of[n] < sqnr_of[ranked[0]] + NEAR_DB]
    far = [n for n in near if sqnr_of[n] < middle - STANDS_OUT_DB] or ranked[:1]
    values = named_values(reference)
    contrast = f"the median of {len(ranked)} tensors is {middle:.1f} dB"
    if math.isinf(middle):
        contrast = f"most of the {len(ranked)} tensors are exact"
    phrases: dict[str, str] = {}
    for name in far:
        phrases.setdefault(
            _layer(values[name]), f"{sqnr_of[name]:.1f} dB at exact inputs, {contrast}"
        )
    return tuple(phrases.items())[:MAX_LAYERS]


def _layer(value: ir.Value) -> str:
    """Return the name of the node behind whose Relu or Clip a tensor is, or of its maker."""
    node = value.producer()
    if node is None:
        raise ValueError(f"'{value.name}' has no maker")
    source = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    absorbs = node.op_type in ("Relu", "Clip") and source is not None
    return str(source.name if absorbs and source is not None else node.name)


def _shared(reference: ir.Model, candidate: ir.Model) -> list[str]:
    """Return the float tensors that nodes of both graphs make under one name, in order."""
    theirs, ours = named_values(candidate), named_values(reference)
    names = [str(v.name) for node in reference.graph for v in node.outputs if v.name]
    return [
        n
        for n in names
        if n in theirs
        and theirs[n].producer() is not None
        and {ours[n].dtype, theirs[n].dtype} <= {None, ir.DataType.FLOAT}
    ]


def _with_outputs(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """Return a copy with these outputs, float32 all of them."""
    copy = model.clone()
    values = named_values(copy)
    copy.graph.outputs.clear()
    for name in names:
        values[name].dtype = ir.DataType.FLOAT
        copy.graph.outputs.append(values[name])
    return copy


def _cut(model: ir.Model, shared: Sequence[str]) -> tuple[ir.Model, dict[str, str]]:
    """Return a copy in which the readers of each shared tensor read an input of its own.

    Returns:
        The copy, and by shared tensor the name of the output that it computes, behind its grid.
    """
    copy = model.clone()
    copy.graph.outputs.clear()
    values, twins = named_values(copy), {}
    for name in shared:
        value = values[name]
        ends = {id(value): value}
        for use in list(value.uses()):
            if is_grid(use.node):
                end = behind_grid(use.node.outputs[0])
                ends[id(end)] = end
        fed = ir.Value(name=FED + name, type=ir.TensorType(ir.DataType.FLOAT), shape=value.shape)
        for end in ends.values():
            for use in list(end.uses()):
                if not is_grid(use.node):
                    use.node.replace_input_with(use.idx, fed)
        copy.graph.inputs.append(fed)
        twin = behind_grid(value)
        twin.dtype = ir.DataType.FLOAT
        twins[name] = str(twin.name)
        if twin not in copy.graph.outputs:
            copy.graph.outputs.append(twin)
    return copy, twins


def _measured(
    reference_session: Any,
    candidate_session: Any,
    twins: Mapping[str, str],
    batches: Iterable[Batch],
) -> dict[str, float]:
    """Return the SQNR in dB of each shared tensor at exact inputs; -inf where it is not finite."""
    inputs = [v.name for v in candidate_session.get_inputs()]
    own_inputs = [name for name in inputs if not name.startswith(FED)]
    outputs = list(dict.fromkeys(twins.values()))
    total = {name: SquaredError() for name in twins}
    for batch in batches:
        feeds = dict(batch.feeds)
        expected = dict(zip(twins, reference_session.run(list(twins), feeds), strict=True))
        same_names = set(own_inputs) <= set(feeds)
        available = feeds if same_names else dict(zip(own_inputs, feeds.values(), strict=True))
        available |= {FED + name: x for name, x in expected.items()}
        used = {name: x for name, x in available.items() if name in inputs}
        answered = dict(zip(outputs, candidate_session.run(outputs, used), strict=True))
        for name, a in expected.items():
            b = answered[twins[name]]
            comparable = a.shape == b.shape and bool(np.isfinite([a, b]).all())
            total[name] += SquaredError.of(a, b) if comparable else SquaredError(0.0, math.inf)
    return {n: -math.inf if math.isinf(e.noise) else e.sqnr_db for n, e in total.items()}

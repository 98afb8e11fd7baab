"""Roofline: a layer's time is that of its arithmetic or that of its bytes, whichever is longer.

Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance Model for Multicore
Architectures", Communications of the ACM 52(4), 2009.
"""

__all__ = ["layer_cost", "rate", "roofline"]

from collections.abc import Mapping, Sequence

from quant.common.errors import few
from quant.cost.assumptions import assumptions
from quant.cost.layer_costs import CostTable, LayerCost
from quant.cost.work import FREE, Work, batch_of, elements_of, sized, works
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph
from quant.target.device import Device
from quant.target.table import Target

KERNELS: Mapping[Precision, tuple[Precision, ...]] = {
    Precision.INT8: (Precision.FLOAT16, Precision.FLOAT32),
    Precision.W4A8: (Precision.INT8, Precision.FLOAT16, Precision.FLOAT32),
    Precision.W4A4: (Precision.INT8, Precision.FLOAT16, Precision.FLOAT32),
    Precision.INT16: (Precision.FLOAT16, Precision.FLOAT32),
    Precision.W8A16: (Precision.INT16, Precision.FLOAT16, Precision.FLOAT32),
    Precision.FP8: (Precision.FLOAT16, Precision.FLOAT32),
    Precision.FLOAT16: (Precision.FLOAT32,),
    Precision.FLOAT32: (Precision.FLOAT16,),
}
"""What runs a precision for which a device has no rate of its own, the first that it has."""


def rate(device: Device, precision: Precision) -> tuple[Precision, float]:
    """Return the precision whose arithmetic runs another on a device, and operations a second.

    Where no kernel could hold the numbers it is the slowest that the device has: a lower bound of
    the time.
    """
    for name in (precision, *KERNELS[precision]):
        if name in device.peak:
            return name, device.peak[name]
    return min(device.peak.items(), key=lambda item: item[1])


def roofline(
    graph: Graph,
    target: Target,
    device: Device,
    sizes: Mapping[str, tuple[int, ...]] | None = None,
    batch: int = 1,
) -> CostTable:
    """Return what each layer costs on a device at each precision that the target knows.

    time = max(operations / (peak * efficiency), bytes / bandwidth) + overhead, for one sample. A
    layer that only renames bytes (Reshape) takes none. A layer whose shape is not known takes the
    overhead alone, is "unknown", and is named in the assumptions.

    Args:
        graph: The prepared graph.
        target: Says which precisions there are.
        device: Says how fast they are.
        sizes: Shape by input name, batch axis included, for axes that the graph leaves open.
        batch: Samples in one inference, which reads the weights and starts the layers once; what
            is returned is a sample's share.
    """
    fixed = sized(graph, sizes)
    done = works(fixed)
    precisions = list(dict.fromkeys((*target.simulated_formats, *target.float_precisions)))
    found = {(w.layer, p): layer_cost(w, p, device, batch) for w in done for p in precisions}
    rows = batch_of(fixed)
    elements = {name: elements_of(value) for name, value in fixed.values.items()}
    return CostTable(
        target=target.name,
        device=device.name,
        layers=found,
        assumptions=(*assumptions(device, precisions, rate, batch), *_unknown(done)),
        elements={n: count // rows for n, count in elements.items() if count is not None},
        byte_ms=1e3 / device.bandwidth if device.bandwidth is not None else 0.0,
        convert_ms=1e3 * device.overhead / batch,
    )


def layer_cost(work: Work, precision: Precision, device: Device, batch: int = 1) -> LayerCost:
    """Return what one layer costs at one precision: a sample's share of an inference of a batch.

    Integer layers read their biases in 32 bits, float layers at their own width.
    """
    weight, activation = precision.weight_bits, precision.activation_bits
    bias = 32 if precision.quantized else activation
    constant = -(-work.weights * weight // 8) + -(-work.biases * bias // 8)
    moved = batch * (-(-work.activations * activation // 8) + work.other_bytes) + constant
    arithmetic = batch * work.operations / (rate(device, precision)[1] * device.efficiency)
    memory = moved / device.bandwidth if device.bandwidth is not None else 0.0
    seconds = 0.0 if work.op in FREE else max(arithmetic, memory) + device.overhead
    bound = "compute" if device.bandwidth is None or arithmetic > memory else "memory"
    return LayerCost(
        layer=work.layer,
        op=work.op,
        precision=precision,
        macs=work.macs,
        bytes=-(-moved // batch),
        weight_bytes=-(-work.weights * weight // 8),
        milliseconds=1e3 * seconds / batch,
        bound=bound if work.known else "unknown",
        operations=work.operations,
    )


def _unknown(done: Sequence[Work]) -> list[str]:
    """Return a sentence on the layers whose work nobody knows."""
    names = [w.layer for w in done if not w.known]
    if not names:
        return []
    return [
        (
            f"The work of {few(names)} is not known, for a shape depends on the data or the operator "
            "holds graphs of its own: no time but the overhead is counted."
        )
    ]

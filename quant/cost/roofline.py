"""The roofline model: a layer takes the time of its arithmetic or of its bytes, the longer one.

Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance Model for Multicore
Architectures", Communications of the ACM 52(4), 2009.
"""

__all__ = ["layer_cost", "rate", "roofline"]

from collections.abc import Mapping, Sequence

from quant.common.errors import few
from quant.cost.assumptions import assumptions
from quant.cost.layer_costs import CostTable, LayerCost
from quant.cost.work import FREE, Work, batch_of, elements_of, layer_work, with_input_sizes
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
"""By precision the precisions whose kernels can run it where a device has no rate for it."""


def rate(device: Device, precision: Precision) -> tuple[Precision, float]:
    """Return the precision whose kernels run a precision on a device, and operations per second.

    Where no kernel can hold the numbers, it is the slowest precision of the device.
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
    layer that only renames bytes (Reshape) takes no time. A layer of unknown shape takes the
    overhead only, is "unknown", and is named in the assumptions.

    Args:
        graph: The prepared graph.
        target: The target, with its precisions.
        device: The device, with its rates.
        sizes: Shape by input name, including the batch axis, for axes that the graph leaves open.
        batch: Samples in one inference, which reads the weights and starts the layers once; costs
            are those of one sample.
    """
    fixed = with_input_sizes(graph, sizes)
    work = layer_work(fixed)
    precisions = list(dict.fromkeys((*target.simulated_formats, *target.float_precisions)))
    costs = {(w.layer, p): layer_cost(w, p, device, batch) for w in work for p in precisions}
    rows = batch_of(fixed)
    elements = {name: elements_of(value) for name, value in fixed.values.items()}
    return CostTable(
        target=target.name,
        device=device.name,
        layers=costs,
        assumptions=(*assumptions(device, precisions, rate, batch), *_unknown(work)),
        elements={n: count // rows for n, count in elements.items() if count is not None},
        byte_ms=1e3 / device.bandwidth if device.bandwidth is not None else 0.0,
        convert_ms=1e3 * device.overhead / batch,
    )


def layer_cost(work: Work, precision: Precision, device: Device, batch: int = 1) -> LayerCost:
    """Return the cost of one layer at one precision for one sample of a batch.

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


def _unknown(work: Sequence[Work]) -> list[str]:
    """Return a sentence about the layers of unknown work."""
    names = [w.layer for w in work if not w.known]
    if not names:
        return []
    return [
        (
            f"The work of {few(names)} is not known, because a shape depends on the data or the "
            "operator contains graphs of its own: only the overhead is counted."
        )
    ]

"""Cumulative error: all layers quantized, the error at each layer's own output.

One graph holds the float network and the quantized one side by side and reduces their difference
to sums of squares by image and channel, so that no activation leaves ONNX Runtime.
"""

__all__ = ["LayerSums", "cumulative"]

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from quant.compare.batch import Batch
from quant.compare.error_sums import ErrorSums, append_sums
from quant.graph.edit import append_node
from quant.graph.layer import Layer
from quant.graph.opset import level_with
from quant.graph.prepared_graph import Graph, named_values
from quant.graph.session import open_simulation
from quant.metrics.squared_error import SquaredError
from quant.simulate.quantizer_nodes import behind_grid

PREFIX = "quantized/"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSums:
    """The error of the quantized network at one layer's output.

    Attributes:
        total: Sums over all images and channels.
        parts: Sums of signal and noise by image and by channel.
    """

    total: SquaredError
    parts: ErrorSums = field(default_factory=ErrorSums, compare=False)

    @property
    def sqnr_db(self) -> float:
        """SQNR in dB of all images together; higher is better."""
        return self.total.sqnr_db

    @property
    def cosine(self) -> float:
        """Cosine of the float and the quantized output; 1 is best."""
        return self.total.cosine


def cumulative(
    graph: Graph,
    quantized: ir.Model,
    measured: Sequence[Layer],
    batches: Iterable[Batch],
    threads: int = 0,
) -> dict[str, LayerSums]:
    """Return the sums of each layer by node name.

    Args:
        graph: The prepared graph.
        quantized: What `quantize_graph` made of it.
        measured: Layers of `graph`.
        batches: The samples; padding is not counted.
        threads: Threads inside one operator; 0 for all cores.
    """
    session = open_simulation(_joint(graph, quantized, measured), threads)
    parts = [ErrorSums() for _ in measured]
    others = np.zeros(len(measured))
    for batch in batches:
        sums = session.run(None, dict(batch.feeds))
        for number, part in enumerate(parts):
            signal, other, noise = sums[3 * number : 3 * number + 3]
            part.add(signal, noise, batch)
            squares = batch.samples(np.atleast_2d(other.astype(np.float64)))
            others[number] += squares[np.isfinite(squares)].sum()
    return {
        layer.name: LayerSums(total=replace(part.total, other=float(other)), parts=part)
        for layer, part, other in zip(measured, parts, others, strict=True)
    }


def _joint(graph: Graph, quantized: ir.Model, measured: Sequence[Layer]) -> ir.Model:
    """Return one model with both networks; its outputs are three of `append_sums` a layer."""
    joint = level_with(graph.clone(), quantized)
    other = quantized.clone()
    values = named_values(joint)
    twins = named_values(other)
    for name, value in twins.items():
        if not (value.is_graph_input() and not value.is_initializer()):
            value.name = PREFIX + name
    inputs = {str(v.name): v for v in joint.graph.inputs}
    for value in list(other.graph.inputs):
        if str(value.name) in inputs:
            value.replace_all_uses_with(inputs[str(value.name)])
    for value in list(other.graph.initializers.values()):
        fresh = ir.Value(name=value.name, const_value=value.const_value)
        value.replace_all_uses_with(fresh, replace_graph_outputs=True)
        joint.graph.register_initializer(fresh)
    nodes = list(other.graph)
    other.graph.outputs.clear()
    other.graph.remove(nodes)
    for node in nodes:
        node.name = f"{PREFIX}{node.name}"
    joint.graph.extend(nodes)
    outputs: list[ir.Value] = []
    for number, layer in enumerate(measured):
        name = str(layer.output.name)
        a, b = values[name], behind_grid(twins[name])
        rank = len(layer.output.shape) if layer.output.shape is not None else None
        for value in (a, b, append_node(joint.graph, "Sub", [a, b])):
            outputs.append(append_sums(joint, value, rank, f"quant.sums.{number}.{len(outputs)}"))
    joint.graph.outputs.clear()
    joint.graph.outputs.extend(outputs)
    joint.graph.sort()
    return joint

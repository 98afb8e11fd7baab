"""Cost: what each layer costs at each precision, and a whole network at a choice of them."""

__all__ = ["CostTable", "LayerCost", "conversions"]

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from quant.cost.work import weights_of
from quant.formats.precision import Precision
from quant.graph.layers import VIEWS, source_of
from quant.graph.prepared_graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCost:
    """One layer at one precision, for one sample.

    Attributes:
        layer: The node's name.
        op: Its type.
        precision: What it computes in.
        macs: Multiply-accumulates.
        bytes: Moved to and from memory: inputs, weights and outputs at the precision's widths.
        weight_bytes: What the weights take in the file; scales are neglected.
        milliseconds: The time.
        bound: What the time comes from: "compute", "memory", "measured", or "unknown".
        operations: 2 for each of `macs`; of operators without weights their own count.
    """

    layer: str
    op: str
    precision: Precision
    macs: int
    bytes: int
    weight_bytes: int
    milliseconds: float
    bound: str
    operations: int = 0

    @property
    def intensity(self) -> float:
        """Operations for each byte moved; 0 for a layer that moves none."""
        return self.operations / self.bytes if self.bytes else 0.0


@dataclass(frozen=True, kw_only=True)
class CostTable:
    """Every layer of a graph at every precision of a target, on one device.

    Attributes:
        target: Name of the target.
        device: Name of the device.
        layers: By (layer name, precision).
        assumptions: One sentence each, with the source of each number.
        elements: Numbers of one sample by tensor name, for conversions.
        byte_ms: Milliseconds to move one byte when a tensor is converted; 0 where it is not known.
        convert_ms: Milliseconds that a conversion takes beyond that.
    """

    target: str
    device: str
    layers: Mapping[tuple[str, Precision], LayerCost]
    assumptions: tuple[str, ...]
    elements: Mapping[str, int] = field(default_factory=dict)
    byte_ms: float = 0.0
    convert_ms: float = 0.0

    def conversion(self, tensor: str, made: Precision, read: Precision) -> float:
        """Return the milliseconds to convert a tensor; 0 where both precisions are equally wide.

        It is read at the width of the activations of `made`, and written at that of `read`.
        """
        before, after = made.activation_bits, read.activation_bits
        if before == after:
            return 0.0
        moved = self.elements.get(tensor, 0) * (before + after) / 8
        return moved * self.byte_ms + self.convert_ms

    def milliseconds(self, precisions: Mapping[str, Precision], graph: Graph) -> float:
        """Return the time of the network: its layers, and each conversion once for its readers.

        Args:
            precisions: By layer name, every layer of the graph.
            graph: The one that the table is of.
        """
        told = sum(self.layers[item].milliseconds for item in precisions.items())
        return told + sum(self.conversion(*c) for c in conversions(precisions, graph))

    def megabytes(self, precisions: Mapping[str, Precision], graph: Graph) -> float:
        """Return the size of the weights in 10**6 bytes; one that layers share counts once."""
        total = 0
        seen: set[tuple[str, int]] = set()
        for layer in graph.layers:
            cost = self.layers[layer.name, precisions[layer.name]]
            names = {(str(v.name), cost.precision.weight_bits) for v in weights_of(layer.node)}
            total += cost.weight_bytes if not names or names - seen else 0
            seen |= names
        return total / 1e6


def conversions(
    precisions: Mapping[str, Precision], graph: Graph
) -> list[tuple[str, Precision, Precision]]:
    """Return (tensor, precision it is made in, precision it is read in) where the widths differ.

    Each tensor comes once for each precision that reads it. Views convert nothing: a reader sees
    the tensor behind them. The network's inputs and outputs are float32, as in the ONNX file.
    """
    made = {str(v.name): x.name for x in graph.layers for v in x.outputs if x.op not in VIEWS}
    found: dict[tuple[str, Precision, Precision], None] = {}

    def add(tensor: str, read: Precision) -> None:
        source = source_of(graph, tensor)
        maker = precisions[made[source]] if source in made else Precision.FLOAT32
        if maker.activation_bits != read.activation_bits:
            found[source, maker, read] = None

    for layer in graph.layers:
        for value in layer.data if layer.op not in VIEWS else []:
            add(str(value.name), precisions[layer.name])
    for value in graph.outputs:
        if value.dtype in (None, ir.DataType.FLOAT):
            add(str(value.name), Precision.FLOAT32)
    return list(found)

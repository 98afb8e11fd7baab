"""The cost of each layer at each precision, and of a whole network at a choice of precisions."""

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
        layer: Name of the node.
        op: Type of the operator.
        precision: Precision that the layer computes in.
        macs: Multiply-accumulates.
        bytes: Bytes moved to and from memory: inputs, weights and outputs at the precision's width.
        weight_bytes: Bytes of the weights in the file, without scales.
        milliseconds: Time of the layer.
        bound: What decides the time: "compute", "memory", "measured", or "unknown".
        operations: 2 for each multiply-accumulate; operators without weights have their own count.
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
        """Operations per byte moved; 0 for a layer that moves none."""
        return self.operations / self.bytes if self.bytes else 0.0


@dataclass(frozen=True, kw_only=True)
class CostTable:
    """Every layer of a graph at every precision of a target, on one device.

    Attributes:
        target: Name of the target.
        device: Name of the device.
        layers: Costs by (layer name, precision).
        assumptions: The assumptions, one sentence each, with the source of each number.
        elements: Elements of one sample by tensor name, for conversions.
        byte_ms: Milliseconds to move one byte when a tensor is converted; 0 where it is not known.
        convert_ms: Milliseconds of a conversion besides moving its bytes.
    """

    target: str
    device: str
    layers: Mapping[tuple[str, Precision], LayerCost]
    assumptions: tuple[str, ...]
    elements: Mapping[str, int] = field(default_factory=dict)
    byte_ms: float = 0.0
    convert_ms: float = 0.0

    def conversion(self, tensor: str, written: Precision, read: Precision) -> float:
        """Return the milliseconds to convert a tensor; 0 where both precisions are equally wide.

        It is read at the width of activations of `written`, and written at that of `read`.
        """
        before, after = written.activation_bits, read.activation_bits
        if before == after:
            return 0.0
        moved = self.elements.get(tensor, 0) * (before + after) / 8
        return moved * self.byte_ms + self.convert_ms

    def milliseconds(self, precisions: Mapping[str, Precision], graph: Graph) -> float:
        """Return the time of the network: its layers, and each conversion once for its readers.

        Args:
            precisions: Precision of every layer of the graph, by name.
            graph: The graph of the table.
        """
        total = sum(self.layers[item].milliseconds for item in precisions.items())
        return total + sum(self.conversion(*c) for c in conversions(precisions, graph))

    def megabytes(self, precisions: Mapping[str, Precision], graph: Graph) -> float:
        """Return the size of the weights in 10**6 bytes; a shared weight counts once."""
        total = 0
        counted: set[tuple[str, int]] = set()
        for layer in graph.layers:
            cost = self.layers[layer.name, precisions[layer.name]]
            names = {(str(v.name), cost.precision.weight_bits) for v in weights_of(layer.node)}
            total += cost.weight_bytes if not names or names - counted else 0
            counted |= names
        return total / 1e6


def conversions(
    precisions: Mapping[str, Precision], graph: Graph
) -> list[tuple[str, Precision, Precision]]:
    """Return (tensor, precision it is made in, precision it is read in) where the widths differ.

    Each tensor comes once for each precision that reads it. Views convert nothing: a reader sees
    the tensor behind them. The network's inputs and outputs are float32, as in the ONNX file.
    """
    maker_of = {str(v.name): x.name for x in graph.layers for v in x.outputs if x.op not in VIEWS}
    pairs: dict[tuple[str, Precision, Precision], None] = {}

    def add(tensor: str, read: Precision) -> None:
        source = source_of(graph, tensor)
        maker = precisions[maker_of[source]] if source in maker_of else Precision.FLOAT32
        if maker.activation_bits != read.activation_bits:
            pairs[source, maker, read] = None

    for layer in graph.layers:
        for value in layer.data if layer.op not in VIEWS else []:
            add(str(value.name), precisions[layer.name])
    for value in graph.outputs:
        if value.dtype in (None, ir.DataType.FLOAT):
            add(str(value.name), Precision.FLOAT32)
    return list(pairs)

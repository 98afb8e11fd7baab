"""A deploy model as the rules read it: the producer and the readers of each tensor."""

__all__ = ["Findings", "View", "finding"]

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from quant.export.atlas.check.rules import RULES
from quant.export.atlas.graph.limits import INTEGER_OPS
from quant.target.finding import Finding, Rules

Findings: TypeAlias = Iterator[Finding]

INT8, FLOAT = onnx.TensorProto.INT8, onnx.TensorProto.FLOAT


@dataclass(frozen=True)
class View:
    """One deploy model.

    Attributes:
        model: The model as it was read.
        file: Name of its file, for findings about the whole model.
    """

    model: onnx.ModelProto
    file: str

    @cached_property
    def nodes(self) -> Sequence[onnx.NodeProto]:
        """The nodes in the order of the file."""
        return list(self.model.graph.node)

    @cached_property
    def producers(self) -> Mapping[str, onnx.NodeProto]:
        """The node that computes each tensor; of two, the first."""
        return {name: n for n in reversed(self.nodes) for name in n.output}

    @cached_property
    def readers(self) -> Mapping[str, Sequence[tuple[onnx.NodeProto, int]]]:
        """The nodes that read each tensor, each with the index of the input."""
        made: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
        for node in self.nodes:
            for index, name in enumerate(node.input):
                made.setdefault(name, []).append((node, index))
        return made

    @cached_property
    def constants(self) -> Mapping[str, onnx.TensorProto]:
        """The initializers by name."""
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    @cached_property
    def outputs(self) -> frozenset[str]:
        """Names of the graph's outputs."""
        return frozenset(value.name for value in self.model.graph.output)

    @cached_property
    def integer(self) -> Sequence[onnx.NodeProto]:
        """The INT8 layers: operators with an INT8 kernel, behind AscendQuant or of int8 weight."""
        return [
            n
            for n in self.nodes
            if n.op_type in INTEGER_OPS
            and (self.made_by(n, 0, "AscendQuant") or self.weight_type(n) == INT8)
        ]

    def of_type(self, op: str) -> Iterator[onnx.NodeProto]:
        """Yield the nodes of an operator."""
        return (n for n in self.nodes if n.op_type == op)

    def made_by(self, node: onnx.NodeProto, index: int, op: str) -> bool:
        """Return whether an operator of this type computes an input."""
        producer = self.producers.get(node.input[index]) if len(node.input) > index else None
        return producer is not None and producer.op_type == op

    def constant(self, node: onnx.NodeProto, index: int) -> onnx.TensorProto | None:
        """Return an input's initializer, or None."""
        return self.constants.get(node.input[index]) if len(node.input) > index else None

    def weight_type(self, node: onnx.NodeProto) -> int | None:
        """Return the type of the second input's initializer, or None."""
        tensor = self.constant(node, 1)
        return None if tensor is None else int(tensor.data_type)

    def array(self, node: onnx.NodeProto, index: int) -> NDArray[Any] | None:
        """Return the numbers of an initializer that is read, or None."""
        tensor = self.constant(node, index)
        return None if tensor is None else np.asarray(onnx.numpy_helper.to_array(tensor))

    def attributes_of(self, node: onnx.NodeProto) -> dict[str, Any]:
        """Return the values of a node's attributes."""
        return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}

    def quantizer(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """Return the AscendQuant before an INT8 layer, or None."""
        return self.producers.get(node.input[0]) if self.made_by(node, 0, "AscendQuant") else None

    def last_node(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Return the bias Add of a MatMul, or the node itself."""
        readers = self.readers.get(node.output[0], [])
        if node.op_type != "MatMul" or len(readers) != 1 or node.output[0] in self.outputs:
            return node
        return readers[0][0] if readers[0][0].op_type == "Add" else node

    def dequantizer(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """Return the only reader of an INT8 layer, if it is an AscendDequant."""
        name = self.last_node(node).output[0]
        readers = self.readers.get(name, [])
        if len(readers) != 1 or name in self.outputs or readers[0][0].op_type != "AscendDequant":
            return None
        return readers[0][0]

    def layer(self, node: onnx.NodeProto) -> str:
        """Return the layer that a quantizer belongs to: the name before `.quant` or `.dequant`."""
        return str(node.name).removesuffix(".quant").removesuffix(".dequant")

    @cached_property
    def repeated(self) -> Sequence[str]:
        """Tensors that two nodes, or a node and an initializer, define."""
        names = [n for node in self.nodes for n in node.output if n]
        names += [*self.constants, *(v.name for v in self.model.graph.input)]
        return sorted(name for name, count in Counter(names).items() if count > 1)


def _located(node: onnx.NodeProto) -> tuple[str, str]:
    """Return a node's place and its layer: a quantizer is named after the layer that it serves."""
    name = str(node.name)
    return f"node '{name}'", name.removesuffix(".quant").removesuffix(".dequant")


finding = Rules("atlas", RULES, _located).finding
"""A finding of a rule of Atlas: see `Rules.finding`."""

"""A prepared onnx_ir model with a fingerprint: the graph that profiles and plans speak about.

Not a new representation: `Graph.model` is an `onnx_ir.Model`, and edits are made with onnx_ir on a
`clone()`. A Graph itself is never edited after it was made.
"""

__all__ = [
    "WEIGHTED",
    "Graph",
    "fingerprint",
    "model_bytes",
    "named_values",
    "save_model",
    "weight_of",
]

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx_ir as ir

from quant.common.files import atomic
from quant.graph.layer import Layer, layers_of

PROTO_LIMIT = 1_900_000_000
"""Bytes above which weights leave the protobuf file, whose own limit is 2 GiB."""

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators with a trained weight as second input: what quantization speeds up."""


def weight_of(node: ir.Node) -> ir.Value | None:
    """Return the constant weight of a Conv, ConvTranspose, Gemm or MatMul, or None."""
    if node.domain in ("", "ai.onnx") and node.op_type in WEIGHTED and len(node.inputs) > 1:
        weight = node.inputs[1]
        if weight is not None and weight.is_initializer() and weight.const_value is not None:
            return weight
    return None


@dataclass(frozen=True)
class Graph:
    """A model after preparation: constants and BatchNorm folded, names unique, shapes inferred.

    Attributes:
        model: The onnx_ir model. Treat it as read-only; edit a `clone()`.
        name: A short name for files and tables, usually the file's stem.
        source: Where it came from, as the user wrote it.
        notes: What preparation changed, one phrase each ("opset 9 raised to 17").
    """

    model: ir.Model
    name: str
    source: str = ""
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over structure and weights, 64 hex digits; names of files do not enter."""
        return fingerprint(self.model)

    @property
    def nodes(self) -> list[ir.Node]:
        """Nodes of the main graph in topological order."""
        return list(self.model.graph)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in topological order: an operator with the Relu or Clip that it absorbs."""
        return layers_of(self.model.graph)

    @property
    def inputs(self) -> list[ir.Value]:
        """Graph inputs that are not initializers."""
        return [v for v in self.model.graph.inputs if not v.is_initializer()]

    @property
    def outputs(self) -> list[ir.Value]:
        """Graph outputs, in order."""
        return list(self.model.graph.outputs)

    @cached_property
    def values(self) -> dict[str, ir.Value]:
        """Every named value of the main graph: inputs, initializers and node outputs."""
        return named_values(self.model)

    @property
    def activations(self) -> list[str]:
        """Names of float32 values that depend on the input, in order of production."""
        names = [str(v.name) for v in self.inputs]
        names += [str(v.name) for node in self.model.graph for v in node.outputs if v.name]
        return [n for n in names if self.values[n].dtype in (None, ir.DataType.FLOAT)]

    def array(self, name: str) -> np.ndarray:
        """Return an initializer's numbers; raises KeyError for a name that is none."""
        tensor = self.model.graph.initializers[name].const_value
        if tensor is None:
            raise KeyError(name)
        return tensor.numpy()

    def clone(self) -> ir.Model:
        """Return a model to edit; the tensors' memory is shared."""
        return self.model.clone()

    def with_outputs(self, names: Sequence[str]) -> ir.Model:
        """Return a copy whose outputs are `names`, each once, graph inputs left out."""
        model = self.clone()
        values = named_values(model)
        outputs = [values[n] for n in dict.fromkeys(names) if values[n].producer() is not None]
        model.graph.outputs.clear()
        model.graph.outputs.extend(outputs)
        return model

    def save(self, path: Path) -> None:
        """Write the model as ONNX, atomically; over 1.9 GB the weights go to `<name>.data`."""
        save_model(self.model, path)


def named_values(model: ir.Model) -> dict[str, ir.Value]:
    """Return every named value of the main graph: inputs, initializers and node outputs."""
    values = {str(v.name): v for v in [*model.graph.inputs, *model.graph.initializers.values()]}
    for node in model.graph:
        values.update({str(v.name): v for v in node.outputs if v.name})
    return values


def model_bytes(model: ir.Model) -> int:
    """Return the size of all initializers in bytes."""
    tensors = [v.const_value for v in model.graph.initializers.values()]
    return sum(int(t.nbytes) for t in tensors if t is not None)


def save_model(model: ir.Model, path: Path) -> None:
    """Write an onnx_ir model as ONNX, atomically and with the same bytes every time."""
    big = model_bytes(model) > PROTO_LIMIT
    with atomic(path) as scratch:
        ir.save(model, scratch, external_data=f"{path.name}.data" if big else None)


def fingerprint(model: ir.Model) -> str:
    """Return SHA-256 over opsets, inputs, nodes (names included) and initializers."""
    digest = hashlib.sha256()

    def put(*parts: object) -> None:
        digest.update(("\x1f".join(map(str, parts)) + "\x1e").encode())

    put("opset", *sorted(f"{k}={v}" for k, v in model.opset_imports.items()))
    for value in model.graph.inputs:
        put("input", value.name, value.dtype, value.shape)
    for name in sorted(model.graph.initializers):
        tensor = model.graph.initializers[name].const_value
        if tensor is not None:
            put("weight", name, tensor.dtype, tuple(tensor.shape))
            digest.update(tensor.tobytes())
    for node in model.graph:
        put("node", node.domain, node.op_type, node.name)
        put("in", *[v.name if v is not None else "" for v in node.inputs])
        put("out", *[v.name for v in node.outputs])
        for name in sorted(node.attributes):
            put("attr", name, _attribute(node.attributes[name]))
    put("outputs", *[v.name for v in model.graph.outputs])
    return digest.hexdigest()


def _attribute(attribute: ir.Attr) -> str:
    """Return an attribute's value as text that holds every bit of it."""
    if attribute.type == ir.AttributeType.TENSOR:
        tensor = attribute.as_tensor()
        return f"{tensor.dtype}{tuple(tensor.shape)}{hashlib.sha256(tensor.tobytes()).hexdigest()}"
    if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
        proto = ir.serde.serialize_attribute(attribute)
        return hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
    return str(attribute.value)

"""Typed graphs for strongly typed builds: float16 layers get float16 tensors, and casts at the rim.

TensorRT 11, and 10 with --stronglyTyped, take every type from the graph. Source: NvInfer.h 11.1,
IQuantizeLayer and IDequantizeLayer; TensorRT 11 migration guide.
"""

__all__ = ["Retype", "typed"]

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import version_converter
from onnx_ir.passes.common import LiftConstantsToInitializersPass

from quant.common.errors import InputError, UnsupportedError
from quant.common.silence import silence
from quant.export.tensorrt.graph.float16_nodes import (
    DQ,
    F16,
    F32,
    Q,
    formal_types,
    half,
    node_types,
)
from quant.formats.precision import Precision
from quant.graph.edit import GraphEditor
from quant.graph.names import name_nodes
from quant.graph.prepared_graph import Graph
from quant.graph.shapes import infer_shapes
from quant.graph.without_weights import through_proto
from quant.plan.tensor_plans import Plan

WORD = {F16: "float16", F32: "float32"}


class Retype:
    """An edit of one model in place; `run` does it.

    Args:
        model: Types inferred, opset 19 or later.
        types: float16 or float32 for every node that is no quantizer.
    """

    def __init__(self, model: ir.Model, types: Mapping[ir.Node, ir.DataType]) -> None:
        self.model, self.types = model, types
        self.edit = GraphEditor(model)
        self.version = model.graph.opset_imports.get("", 0)
        self._made: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def run(self) -> None:
        """Give every node its type."""
        self._round_scales()
        for node in list(self.model.graph):
            if node.op_type == Q:
                self._quantize(node)
            elif node.op_type != DQ:
                self._retype(node)
        for index, value in enumerate(list(self.model.graph.outputs)):
            if value.dtype == F16 and value.producer() is not None:
                self._output(index, value)
        self._sweep()

    def _round_scales(self) -> None:
        """Round the scales of activations to float16 where that is close: equal ones stay equal."""
        for node in list(self.model.graph):
            value = node.inputs[1] if node.op_type == Q else None
            if value is None or value.const_value is None or node.inputs[0] is None:
                continue
            if node.inputs[0].is_initializer():
                continue
            small = half(value.const_value.numpy())
            if small is not None:
                array = small.astype(np.float32)
                value.const_value = ir.tensor(array, name=str(value.name))

    def _retype(self, node: ir.Node) -> None:
        wanted = self.types[node]
        formal, results = formal_types(node, self.version)
        bound = set()
        for index, value in enumerate(node.inputs):
            if value is None or value.dtype not in (F16, F32):
                continue
            kind = wanted if formal[index] is not None else F32
            made = self._as(value, kind, node)
            bound |= {formal[index]} if kind == F16 else set()
            if made is not value:
                node.replace_input_with(index, made)
        for output, variable in zip(node.outputs, results, strict=True):
            if output.dtype == F32 and variable is not None and variable in bound:
                output.dtype = F16
                self._captured(output)

    def _captured(self, value: ir.Value) -> None:
        """Let the nodes of subgraphs that read a value go on seeing float32."""
        for use in list(value.uses()):
            if use.node.graph is not self.model.graph:
                use.node.replace_input_with(use.idx, self._as(value, F32, use.node))

    def _as(self, value: ir.Value, kind: ir.DataType, reader: ir.Node) -> ir.Value:
        """Return a value's numbers in a type: itself, a twin, or a Cast that all readers share."""
        if value.dtype == kind:
            return value
        key = (value, kind)
        if key not in self._made:
            maker = value.producer()
            if value.is_initializer() and value.const_value is not None:
                self._made[key] = self._constant(value, reader)
            elif maker is not None and maker.op_type == DQ and self._twin(maker) is not None:
                self._made[key] = self._dequantized(maker)
            else:
                self._made[key] = self._cast(value, kind)
        return self._made[key]

    def _constant(self, value: ir.Value, reader: ir.Node) -> ir.Value:
        array = value.const_value.numpy()  # type: ignore[union-attr]
        with np.errstate(over="ignore"):
            small = array.astype(np.float16)
        if bool(np.any(np.isinf(small) & np.isfinite(array))):
            raise InputError(
                f"plan: layer '{reader.name}' is float16, and its constant '{value.name}' holds "
                f"{np.abs(array).max():.6g}, beyond float16's 65504. Give the layer float32."
            )
        return self.edit.constant(f"{value.name}_float16", small)

    def _twin(self, node: ir.Node) -> NDArray[Any] | None:
        """Return the float16 scale of a quantizer, or None where float16 cannot hold it."""
        scale = node.inputs[1].const_value if node.inputs[1] is not None else None
        return half(scale.numpy()) if scale is not None else None

    def _scale(self, node: ir.Node) -> ir.Value:
        value = node.inputs[1]
        assert value is not None
        small = self._twin(node)
        assert small is not None
        if (value, F16) not in self._made:
            self._made[value, F16] = self.edit.constant(f"{value.name}_float16", small)
            if any(use.node.op_type == Q for use in value.uses()):  # the two of a pair stay equal
                value.const_value = ir.tensor(small.astype(np.float32), name=str(value.name))
        return self._made[value, F16]

    def _dequantized(self, node: ir.Node) -> ir.Value:
        """Return the float16 numbers of a DequantizeLinear: a twin with a float16 scale."""
        inputs = [node.inputs[0], self._scale(node), *node.inputs[2:]]
        names = f"{node.name}_float16", f"{node.outputs[0].name}_float16"
        made = self.edit.node(DQ, inputs, node.attributes, names)
        result = made.outputs[0]
        result.dtype, result.shape = F16, node.outputs[0].shape
        self.edit.after(node, [made])
        return result

    def _cast(self, value: ir.Value, kind: ir.DataType) -> ir.Value:
        names = f"{value.name}_Cast_{WORD[kind]}", f"{value.name}_{WORD[kind]}"
        node = self.edit.node("Cast", [value], {"to": int(kind)}, names)
        result = node.outputs[0]
        result.dtype, result.shape = kind, value.shape
        self.edit.after_value(value, [node])
        return result

    def _quantize(self, node: ir.Node) -> None:
        """Give a QuantizeLinear the type of its input, by its scale."""
        value = node.inputs[0]
        if value is None or value.dtype != F16:
            return
        if self._twin(node) is not None:
            node.replace_input_with(1, self._scale(node))
        else:
            node.replace_input_with(0, self._as(value, F32, node))

    def _output(self, index: int, value: ir.Value) -> None:
        """Put a Cast behind a float16 output; the network's output keeps its name and float32."""
        outputs, name = self.model.graph.outputs, value.name
        self.edit.rename(value, f"{name}_float16")
        made = self._as(value, F32, value.producer())  # type: ignore[arg-type]
        made.name = name
        outputs[index] = made

    def _sweep(self) -> None:
        """Drop what is no longer read and put the nodes in order."""
        graph = self.model.graph
        for node in [n for n in graph if n.op_type == DQ]:
            output = node.outputs[0]
            if not output.uses() and not output.is_graph_output():
                graph.remove(node, safe=True)
        self.edit.finish()


OPSET = 19
"""The first opset in which QuantizeLinear takes float16 tensors and scales."""


def typed(model: ir.Model, plan: Plan, graph: Graph) -> ir.Model:
    """Return a quantized model whose float16 layers are typed float16, as the plan says.

    Inputs and outputs stay float32. A float32 layer gets float32 tensors. What an integer layer
    computes in beside its integers (its DequantizeLinear outputs, its bias) is float16 where float
    layers beside it are float16 and none is float32, so that fewer casts are needed. Data movers
    keep the type of what they move. One Cast of a tensor serves all its readers. A scale that
    float16 cannot hold within 2**-9 keeps its layer in float32; the others are rounded to float16
    wherever they stand, so that the two of a pair, and joined tensors, stay equal.

    Without float16 layers the result is a copy.

    Args:
        model: What `quantize_graph` made of the graph by the plan.
        plan: "float16" layers; anything that is neither "float16" nor "float32" is integer.
        graph: The prepared graph.

    Raises:
        InputError: A weight or constant of a float16 layer is too large for float16.
        UnsupportedError: A float16 layer's operator has no float16 form, or onnx's version
            converter cannot raise the model to opset 19.
    """
    if not any(x.precision is Precision.FLOAT16 for x in plan.layers.values()):
        return model.clone()
    work = model.clone()
    if work.opset_imports.get("", 0) < OPSET:
        work = _raised(work)
    infer_shapes(work)
    edit = Retype(work, node_types(work, plan, graph))
    edit.run()
    infer_shapes(work)
    return work


def _raised(model: ir.Model) -> ir.Model:
    try:
        with silence():
            made = through_proto(model, lambda p: version_converter.convert_version(p, OPSET))
    except (RuntimeError, ValueError, IndexError) as error:
        said = " ".join(str(error).split()).replace("'", '"').rstrip(".")[:120]
        raise UnsupportedError(
            f"graph '{model.graph.name}': float16 layers need opset {OPSET}, and onnx's version "
            f"converter said '{said}'. Export the model with opset {OPSET}, or give the layers "
            "float32."
        ) from error
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(made)
    name_nodes(made)  # the converter leaves its own without
    return made

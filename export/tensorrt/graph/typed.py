"""Type a quantized graph for strongly typed builds: float16 layers get float16 tensors and casts.

TensorRT 11, and 10 with --stronglyTyped, take every type from the graph. Source: NvInfer.h 11.1,
IQuantizeLayer and IDequantizeLayer; TensorRT 11 migration guide.
"""

__all__ = ["TypeEditor", "with_types"]

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
    float16_scale,
    formal_types,
    node_types,
)
from quant.formats.precision import Precision
from quant.graph.edit import GraphEditor
from quant.graph.names import name_nodes
from quant.graph.prepared_graph import Graph
from quant.graph.shapes import infer_shapes
from quant.graph.without_weights import through_proto
from quant.plan.tensor_plans import Plan

TYPE_NAME = {F16: "float16", F32: "float32"}


class TypeEditor:
    """Gives every node of a model its float type, in place, by `run`.

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
        """Round the scales of activations to float16 where that is close; equal scales stay equal."""
        for node in list(self.model.graph):
            value = node.inputs[1] if node.op_type == Q else None
            if value is None or value.const_value is None or node.inputs[0] is None:
                continue
            if node.inputs[0].is_initializer():
                continue
            small = float16_scale(value.const_value.numpy())
            if small is not None:
                array = small.astype(np.float32)
                value.const_value = ir.tensor(array, name=str(value.name))

    def _retype(self, node: ir.Node) -> None:
        own_type = self.types[node]
        formal, results = formal_types(node, self.version)
        bound = set()
        for index, value in enumerate(node.inputs):
            if value is None or value.dtype not in (F16, F32):
                continue
            input_type = own_type if formal[index] is not None else F32
            typed_value = self._as(value, input_type, node)
            bound |= {formal[index]} if input_type == F16 else set()
            if typed_value is not value:
                node.replace_input_with(index, typed_value)
        for output, variable in zip(node.outputs, results, strict=True):
            if output.dtype == F32 and variable is not None and variable in bound:
                output.dtype = F16
                self._captured(output)

    def _captured(self, value: ir.Value) -> None:
        """Give the nodes of subgraphs that read a value a float32 copy of it."""
        for use in list(value.uses()):
            if use.node.graph is not self.model.graph:
                use.node.replace_input_with(use.idx, self._as(value, F32, use.node))

    def _as(self, value: ir.Value, kind: ir.DataType, reader: ir.Node) -> ir.Value:
        """Return a value in a type: itself, a float16 copy, or a Cast that all readers share."""
        if value.dtype == kind:
            return value
        key = (value, kind)
        if key not in self._made:
            producer = value.producer()
            if value.is_initializer() and value.const_value is not None:
                self._made[key] = self._constant(value, reader)
            elif (
                producer is not None and producer.op_type == DQ and self._twin(producer) is not None
            ):
                self._made[key] = self._dequantized(producer)
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
        return float16_scale(scale.numpy()) if scale is not None else None

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
        """Return the float16 result of a DequantizeLinear: a copy with a float16 scale."""
        inputs = [node.inputs[0], self._scale(node), *node.inputs[2:]]
        names = f"{node.name}_float16", f"{node.outputs[0].name}_float16"
        twin = self.edit.node(DQ, inputs, node.attributes, names)
        result = twin.outputs[0]
        result.dtype, result.shape = F16, node.outputs[0].shape
        self.edit.after(node, [twin])
        return result

    def _cast(self, value: ir.Value, kind: ir.DataType) -> ir.Value:
        names = f"{value.name}_Cast_{TYPE_NAME[kind]}", f"{value.name}_{TYPE_NAME[kind]}"
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
        result = self._as(value, F32, value.producer())  # type: ignore[arg-type]
        result.name = name
        outputs[index] = result

    def _sweep(self) -> None:
        """Remove nodes without a reader, and sort the nodes."""
        graph = self.model.graph
        for node in [n for n in graph if n.op_type == DQ]:
            output = node.outputs[0]
            if not output.uses() and not output.is_graph_output():
                graph.remove(node, safe=True)
        self.edit.finish()


TYPED_OPSET = 19
"""The first opset in which QuantizeLinear takes float16 tensors and scales."""


def with_types(model: ir.Model, plan: Plan, graph: Graph) -> ir.Model:
    """Return a quantized model whose float16 layers are typed float16, as the plan says.

    Inputs and outputs stay float32. A float32 layer gets float32 tensors. The float tensors of an
    integer layer (its DequantizeLinear outputs, its bias) are float16 where its float neighbours
    are float16 and none is float32, so that fewer casts are needed. Data movers keep the type of
    their input. One Cast of a tensor serves all its readers. A scale that float16 cannot hold within
    2**-9 keeps its layer in float32; all other scales are rounded to float16, so that the two quantizers
    of a pair, and joined tensors, stay equal.

    Without float16 layers the result is a copy.

    Args:
        model: The result of `quantize_graph` for the graph and the plan.
        plan: Its "float16" layers are typed; a layer that is not "float16" or "float32" is integer.
        graph: The prepared graph.

    Raises:
        InputError: A weight or constant of a float16 layer is too large for float16.
        UnsupportedError: A float16 layer's operator has no float16 form, or onnx's version
            converter cannot raise the model to opset 19.
    """
    if not any(x.precision is Precision.FLOAT16 for x in plan.layers.values()):
        return model.clone()
    copy = model.clone()
    if copy.opset_imports.get("", 0) < TYPED_OPSET:
        copy = _in_opset_19(copy)
    infer_shapes(copy)
    edit = TypeEditor(copy, node_types(copy, plan, graph))
    edit.run()
    infer_shapes(copy)
    return copy


def _in_opset_19(model: ir.Model) -> ir.Model:
    try:
        with silence():
            raised = through_proto(
                model, lambda p: version_converter.convert_version(p, TYPED_OPSET)
            )
    except (RuntimeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split()).replace("'", '"').rstrip(".")[:120]
        raise UnsupportedError(
            f"graph '{model.graph.name}': float16 layers need opset {TYPED_OPSET}, and onnx's version "
            f"converter reported '{reason}'. Export the model with opset {TYPED_OPSET}, or give the layers "
            "float32."
        ) from error
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(raised)
    name_nodes(raised)  # the converter's own nodes have none
    return raised

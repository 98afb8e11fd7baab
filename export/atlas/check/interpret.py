"""Interpret a deploy model in exact integers, as CANN's INT8 kernels are specified.

    q = clip(rint(x * scale) + offset, -128, 127)
    sum = sum((q - offset) * weight) + bias                  exact, and must fit int32
    y = float32(sum) * deq_scale                             float32 in the low 32 bits

The operators in between run in ONNX Runtime, unoptimized. Ascend310 deviates: it holds deq_scale in
float16 and computes the float operators in float16.
"""

__all__ = ["interpret"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import InputError, UnsupportedError
from quant.export.atlas.check.integer_operators import integer_sum
from quant.export.atlas.graph.integer_layer import unpack_scales
from quant.graph.session import open_session

Array = NDArray[Any]


def interpret(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Return the graph's outputs by name.

    Args:
        model: A deploy model; AscendQuant, AscendDequant and AscendAntiQuant of ONNX's own domain.
        feeds: Every graph input by name.

    Raises:
        InputError: An input is missing, or an integer sum leaves int32.
        UnsupportedError: An attribute, or an operator on integers, that no export of ours has.
    """
    run = _Interpreter(model, dict(feeds))
    for node in model.graph.node:
        run.compute(node)
    run.flush()
    return {value.name: run.values[value.name] for value in model.graph.output}


class _Interpreter:
    """Tensors computed so far, the offsets of the integer ones, and pending float nodes."""

    def __init__(self, model: onnx.ModelProto, feeds: dict[str, Array]) -> None:
        self._model = model
        self._constants = {i.name: i for i in model.graph.initializer}
        missing = [v.name for v in model.graph.input if v.name not in feeds | self._constants]
        if missing:
            raise InputError(f"feeds: input '{missing[0]}' is missing. Give every graph input.")
        self.values = feeds
        self._offsets: dict[str, int] = {}
        self._sums: set[str] = set()
        self._pending: list[onnx.NodeProto] = []
        self._readers: dict[str, int] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers[name] = self._readers.get(name, 0) + 1

    def compute(self, node: onnx.NodeProto) -> None:
        """Compute a node on integers, or keep a float node for the next run of ONNX Runtime."""
        reads = [name in self._offsets or name in self._sums for name in node.input]
        if not (any(reads) or node.op_type in ("AscendQuant", "AscendDequant", "AscendAntiQuant")):
            self._pending.append(node)
            return
        if not all(n in self.values or n in self._constants for n in node.input if n):
            self.flush()
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "AscendQuant":
            self._quantize(node, attributes)
        elif node.op_type == "AscendDequant":
            self._dequantize(node, attributes)
        elif node.op_type == "AscendAntiQuant":
            integers = self._array(node.input[0]).astype(np.float32)
            real = (integers - np.float32(attributes["offset"])) * np.float32(attributes["scale"])
            self.values[node.output[0]] = real.astype(np.float32)
        else:
            self._sum(node, attributes)

    def _array(self, name: str) -> Array:
        if name not in self.values:
            self.values[name] = onnx.numpy_helper.to_array(self._constants[name])
        return self.values[name]

    def _quantize(self, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> None:
        if attributes.get("sqrt_mode") or attributes.get("round_mode", b"Round") != b"Round":
            raise _unsupported(node, "sqrt_mode or another round_mode")
        offset = int(attributes["offset"])
        with np.errstate(over="ignore"):  # it saturates
            scaled = self._array(node.input[0]).astype(np.float32) * np.float32(attributes["scale"])
        integers = np.clip(np.rint(scaled) + np.float32(offset), -128, 127)
        self.values[node.output[0]] = integers.astype(np.int8)
        self._offsets[node.output[0]] = offset

    def _sum(self, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> None:
        """Compute an operator between AscendQuant and AscendDequant."""
        arrays = [self._array(name) if name else None for name in node.input]
        if node.op_type == "Add" and self._sums & set(node.input):
            total = arrays[0].astype(np.int64) + arrays[1].astype(np.int64)  # type: ignore[union-attr]
        else:
            first = node.input[0]
            if first not in self._offsets:
                raise _unsupported(node, "integers at another input than the first")
            centred = arrays[0].astype(np.int64) - self._offsets[first]  # type: ignore[union-attr]
            total = integer_sum(node, attributes, [centred, *arrays[1:]], self._mean)
        if total.dtype == np.int64 and total.size:
            worst = int(np.abs(total).max())
            if worst >= 2**31:
                raise InputError(
                    f"node '{node.name}' ({node.op_type}): sums must fit int32, saw {worst}. "
                    "Keep the layer float in the recipe."
                )
        self.values[node.output[0]] = total
        self._sums.add(node.output[0])

    def _dequantize(self, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> None:
        if (
            attributes.get("dtype", 0) != 0
            or attributes.get("sqrt_mode")
            or attributes.get("relu_flag")
        ):
            raise _unsupported(node, "a dtype other than 0, sqrt_mode or relu_flag")
        x = self._array(node.input[0]).astype(np.float32)
        scales = unpack_scales(self._array(node.input[1]))
        shape = (-1, *[1] * (x.ndim - 2)) if scales.size > 1 else (1,)
        self.values[node.output[0]] = x * scales.reshape(shape)

    def _mean(self, node: onnx.NodeProto, centred: Array) -> Array:
        """Return an AveragePool of integers, computed by ONNX Runtime in float32."""
        feeds = {node.input[0]: centred.astype(np.float32)}
        return self._session([node], feeds, list(node.output))[0]

    def flush(self) -> None:
        """Run the pending float nodes."""
        if not self._pending:
            return
        nodes, self._pending = self._pending, []
        computed = [name for node in nodes for name in node.output if name]
        inputs = [name for node in nodes for name in node.input]
        outputs = {v.name for v in self._model.graph.output}
        inner_reads = {n: inputs.count(n) for n in computed}
        outputs_read = [
            n for n in computed if n in outputs or self._readers.get(n, 0) > inner_reads[n]
        ]
        needed = dict.fromkeys(n for n in inputs if n and n not in computed)
        feeds = {n: self.values[n] for n in needed if n in self.values}
        self.values.update(
            zip(outputs_read, self._session(nodes, feeds, outputs_read), strict=True)
        )

    def _session(
        self, nodes: Sequence[onnx.NodeProto], feeds: Mapping[str, Array], wanted: list[str]
    ) -> list[Array]:
        names = {name for node in nodes for name in node.input}
        initializers = [
            self._constants[n] for n in names if n in self._constants and n not in feeds
        ]
        inputs = [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in feeds.items()
        ]
        outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in wanted]
        graph = onnx.helper.make_graph(
            nodes, "part", inputs, outputs, sorted(initializers, key=lambda t: t.name)
        )
        part = onnx.helper.make_model(
            graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version
        )
        session = open_session(ir.from_proto(part), optimize=False)
        arrays: list[Array] = session.run(wanted, dict(feeds))
        return arrays


def _unsupported(node: onnx.NodeProto, saw: str) -> UnsupportedError:
    return UnsupportedError(
        f"node '{node.name}' ({node.op_type}): the interpreter computes what quant writes, saw "
        f"{saw}. Export the model again."
    )

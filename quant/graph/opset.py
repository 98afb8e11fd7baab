"""Raise a model to the opset that the rest of the package is written for."""

__all__ = ["OPSET", "at_opset", "level_with", "raise_opset"]

import re

import onnx
import onnx_ir as ir
from onnx import version_converter

from quant.common.errors import QuantError, UnsupportedError
from quant.common.silence import silence
from quant.graph.names import name_nodes
from quant.graph.session import open_session
from quant.graph.without_weights import through_proto, without_weights

OPSET = 17
"""The opset that models are raised to: QuantizeLinear per axis since 13, the converter's best."""

TOLERABLE = 13
"""The lowest opset that may stay when the converter fails: axes are inputs and Q/DQ has an axis."""


def raise_opset(model: ir.Model, place: str) -> tuple[ir.Model, str | None]:
    """Return the model in opset 17 or higher, and a note if that changed it.

    Raises:
        UnsupportedError: The opset is under 13, and onnx's version converter fails.
    """
    version = model.opset_imports.get("", OPSET)
    model.ir_version = max(model.ir_version, 8)
    if version >= OPSET:
        return model, None
    try:
        with silence():
            raised = through_proto(model, _convert)
        if version < 11:
            _mend_resize(raised)
        open_session(without_weights(raised, 1024)[0], threads=1, optimize=False)
    except (
        QuantError,
        RuntimeError,
        ValueError,
        IndexError,
        onnx.checker.ValidationError,
    ) as error:
        if version >= TOLERABLE:
            return model, f"opset {version} kept, for onnx's version converter failed"
        raise UnsupportedError(
            f"{place}{_culprit(model, str(error))}: The opset must be {TOLERABLE} or one that "
            f"onnx's version converter raises to {OPSET}, saw {version}. "
            f"Export the model again with opset {TOLERABLE} to {OPSET}."
        ) from error
    return raised, f"opset {version} raised to {OPSET}"


def _convert(proto: onnx.ModelProto) -> onnx.ModelProto:
    return version_converter.convert_version(proto, OPSET)


def _mend_resize(model: ir.Model) -> None:
    """Give Resize the grid that it had before opset 11, for onnx's converter (1.23) forgets it."""
    for node in model.graph.all_nodes():
        if node.op_type == "Resize" and node.domain == "":
            for key, value in (
                ("coordinate_transformation_mode", "asymmetric"),
                ("nearest_mode", "floor"),
            ):
                if key not in node.attributes:
                    node.attributes.add(ir.AttrString(key, value))


def _culprit(model: ir.Model, reason: str) -> str:
    """Return ", node 'x' (Op)" for the operator that the converter's message is about."""
    words = set(re.findall(r"\w+", reason))
    for node in model.graph:
        if node.op_type in words:
            return f", node '{node.name}' ({node.op_type})"
    return ""


def at_opset(model: ir.Model, opset: int, place: str) -> ir.Model:
    """Return the model in `opset` or higher.

    Raises:
        UnsupportedError: onnx's version converter fails.
    """
    version = model.opset_imports.get("", OPSET)
    if version >= opset:
        return model
    try:
        with silence():
            raised = through_proto(
                model, lambda proto: version_converter.convert_version(proto, opset)
            )
    except (QuantError, RuntimeError, ValueError, IndexError) as error:
        raise UnsupportedError(
            f"{place}: its formats need opset {opset}, saw {version}, and onnx's version converter "
            f"fails with '{' '.join(str(error).split())[:200]}'. Export the model with opset {opset}."
        ) from error
    raised.ir_version = max(raised.ir_version, 9)  # the first that knows float8
    name_nodes(raised)  # the converter leaves its own without
    return raised


def level_with(model: ir.Model, quantized: ir.Model) -> ir.Model:
    """Return the float model at the opset of its quantized form, with the functions of that.

    Its nodes can then stand in one graph with those of `quantized`.
    """
    raised = at_opset(model, quantized.opset_imports.get("", OPSET), "graph")
    raised.ir_version = max(raised.ir_version, quantized.ir_version)
    for domain, version in quantized.opset_imports.items():
        raised.opset_imports.setdefault(domain, version)
    raised.functions.update(quantized.functions)
    return raised

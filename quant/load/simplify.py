"""Let onnxslim fold constants and shape subgraphs, and keep the model's signature."""

__all__ = ["simplified"]

import onnx
import onnx_ir as ir
import onnxslim

from quant.common.silence import silence
from quant.graph.without_weights import through_proto

SKIPPED = ["weight_tying", "subexpression_elimination"]
"""What onnxslim must not do: both make layers share tensors that quantization treats apart."""

WRONG = ["FusionConvMul"]
"""onnxslim 0.1.98 takes a factor of shape [C] for one per channel, though it runs along W."""


def simplified(model: ir.Model) -> tuple[ir.Model, str]:
    """Return what onnxslim makes of the model, and a note; the model itself where that is unsound.

    Names and order of inputs and outputs, their shapes, and names and order of layers stay.
    """
    try:
        with silence():
            slim = through_proto(model, _slim)
            _keep_signature(model.graph, slim.graph)
    except Exception as error:  # noqa: BLE001 - odd graphs fail in it in as many ways as it has lines
        return model, f"constants not folded, for onnxslim failed with {type(error).__name__}"
    if set(slim.opset_imports) - set(model.opset_imports) or _domains(slim) - _domains(model):
        return model, "constants not folded, for onnxslim used operators of another domain"
    _restore_names(model.graph, slim.graph)
    _restore_order(model.graph, slim.graph)
    before, after = len(model.graph), len(slim.graph)
    return slim, f"{before} nodes folded to {after}" if before != after else ""


def _slim(proto: onnx.ModelProto) -> onnx.ModelProto:
    slim: onnx.ModelProto = onnxslim.slim(
        proto, skip_optimizations=SKIPPED, skip_fusion_patterns=WRONG
    )
    return slim


def _domains(model: ir.Model) -> set[str]:
    return {node.domain for node in model.graph.all_nodes()}


def _keep_signature(old: ir.Graph, new: ir.Graph) -> None:
    """Give the new graph the old one's inputs, unread ones included, and its shapes.

    Raises:
        ValueError: The outputs differ.
    """
    if [v.name for v in old.outputs] != [v.name for v in new.outputs]:
        raise ValueError("outputs")
    inputs = {v.name: v for v in new.inputs}
    if set(inputs) - {v.name for v in old.inputs}:
        raise ValueError("inputs")
    new.inputs.clear()
    for value in old.inputs:
        new.inputs.append(inputs.get(value.name) or ir.Value(name=value.name))
    for was, now in zip([*old.inputs, *old.outputs], [*new.inputs, *new.outputs], strict=True):
        now.type, now.shape = was.type, was.shape


def _restore_names(old: ir.Graph, new: ir.Graph) -> None:
    """Give fused layers, which onnxslim names after a value, the name of the node they came from."""
    old_names = {node.name for node in old}
    makers = {v.name: node.name for node in old for v in node.outputs}
    taken = {node.name for node in new}
    for node in new:
        if node.name not in old_names:
            name = makers.get(node.name) or makers.get(node.outputs[0].name)
            if name is not None and name not in taken:
                node.name = name
                taken.add(name)


def _restore_order(old: ir.Graph, new: ir.Graph) -> None:
    """Give the nodes the order they had: onnxslim's own sort interleaves parallel branches."""
    order = {node.name: index for index, node in enumerate(old)}
    nodes = sorted(new, key=lambda node: order.get(node.name, len(order)))
    new.remove(nodes)
    new.extend(nodes)
    new.sort()

"""Local error: each layer on float inputs, its weight and its activations quantized one at a time.

Where the isolated error says that a layer hurts, this says which half of it does. One graph holds
the float network and, beside each layer, three copies: all on grids, the weight alone, and the
activations alone. It costs one run over the samples, and only sums leave ONNX Runtime.
"""

__all__ = ["LocalError", "local_errors"]

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from quant.compare.batch import Batch
from quant.compare.error_sums import ErrorSums, append_sums
from quant.graph.edit import append_node
from quant.graph.layer import Layer
from quant.graph.opset import level_with
from quant.graph.prepared_graph import Graph, named_values
from quant.graph.session import open_simulation
from quant.simulate.layer_switch import copied_chain, copied_node, outer_twin, producer_of
from quant.simulate.quantizer_nodes import grid_chain

FORMS = ("both", "weight", "activations")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalError:
    """The error of a layer's own output when it reads floats.

    Attributes:
        both: With all of its inputs and its weight on their grids.
        weight: With its constants alone on grids: weight, and bias with its shift.
        activations: With those inputs alone on grids that depend on the network's input.
    """

    both: ErrorSums
    weight: ErrorSums
    activations: ErrorSums


def local_errors(
    graph: Graph,
    quantized: ir.Model,
    measured: Sequence[Layer],
    batches: Iterable[Batch],
    threads: int = 0,
) -> dict[str, LocalError]:
    """Return the local error of each layer by node name; arguments as of `isolated_errors`."""
    if not measured:
        return {}
    session = open_simulation(_beside(graph, quantized, measured), threads)
    errors = [
        LocalError(both=ErrorSums(), weight=ErrorSums(), activations=ErrorSums()) for _ in measured
    ]
    for batch in batches:
        sums = session.run(None, dict(batch.feeds))
        for number, error in enumerate(errors):
            signal, *noises = sums[4 * number : 4 * number + 4]
            for form, noise in zip(FORMS, noises, strict=True):
                getattr(error, form).add(signal, noise, batch)
    return {layer.name: error for layer, error in zip(measured, errors, strict=True)}


def _beside(graph: Graph, quantized: ir.Model, measured: Sequence[Layer]) -> ir.Model:
    """Return the float network with the copies; its outputs are four sums a layer."""
    model = level_with(graph.clone(), quantized)
    editor = _CopyEditor(model=model, twins=named_values(quantized), values=named_values(model))
    nodes = {str(n.name): n for n in model.graph}
    outputs: list[ir.Value] = []
    for number, layer in enumerate(measured):
        node = nodes[layer.name]
        behind = nodes[str(layer.activation.name)] if layer.activation is not None else None
        exact = (behind or node).outputs[0]
        rank = len(layer.output.shape) if layer.output.shape is not None else None
        tag = f"quant.local.{number}"
        outputs.append(append_sums(model, exact, rank, f"{tag}.signal"))
        for form in FORMS:
            copy = editor.append_copy(node, behind, f"{tag}.{form}")
            difference = append_node(model.graph, "Sub", [exact, copy])
            outputs.append(append_sums(model, difference, rank, f"{tag}.{form}.noise"))
    model.graph.outputs.clear()
    model.graph.outputs.extend(outputs)
    model.graph.sort()
    return model


@dataclass(frozen=True, slots=True, kw_only=True)
class _CopyEditor:
    """A float network under edit, to which copies of its layers are appended.

    Attributes:
        model: Edited in place.
        twins: The values of the quantized graph by name.
        values: The model's own values by name, kept up to date.
    """

    model: ir.Model
    twins: dict[str, ir.Value]
    values: dict[str, ir.Value]

    def append_copy(self, node: ir.Node, behind: ir.Node | None, tag: str) -> ir.Value:
        """Append a copy of a layer, partly on its grids, and return its output.

        Args:
            node: The operator.
            behind: The activation that it absorbs, or None.
            tag: Prefix of the copy's names; its last part is one of FORMS.
        """
        graph, values = self.model.graph, self.values
        form = tag.rsplit(".", 1)[-1]
        twin = producer_of(self.twins, str(node.outputs[0].name))
        inputs: list[Any] = []
        for index, quantized in enumerate(twin.inputs):
            own = node.inputs[index] if index < len(node.inputs) else None
            constant = own is None or own.const_value is not None
            if form not in ("both", "weight" if constant else "activations"):
                inputs.append(own)
                continue
            chain = grid_chain(quantized)
            if not chain:
                inputs.append(outer_twin(quantized, values, graph) if constant else own)
                continue
            source = chain[0].inputs[0]
            feed = outer_twin(source, values, graph) if constant else own
            copies = copied_chain(chain, feed, f"{tag}.input{index}", values, graph)
            graph.extend(copies)
            inputs.append(copies[-1].outputs[0])
        nodes = [copied_node(node, inputs, f"{tag}.output")]
        if behind is not None:
            operands = [nodes[0].outputs[0], *behind.inputs[1:]]
            nodes.append(copied_node(behind, operands, f"{tag}.activated"))
        graph.extend(nodes)
        return nodes[-1].outputs[0]

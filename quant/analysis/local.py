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
    """What a layer does to its own output when it reads floats.

    Attributes:
        both: All of its inputs and its weight on their grids.
        weight: Its constants alone: weight, and bias with its shift.
        activations: The inputs that depend on the network's input alone.
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
    found = [
        LocalError(both=ErrorSums(), weight=ErrorSums(), activations=ErrorSums()) for _ in measured
    ]
    for batch in batches:
        sums = session.run(None, dict(batch.feeds))
        for number, error in enumerate(found):
            signal, *noises = sums[4 * number : 4 * number + 4]
            for form, noise in zip(FORMS, noises, strict=True):
                getattr(error, form).add(signal, noise, batch)
    return {layer.name: error for layer, error in zip(measured, found, strict=True)}


def _beside(graph: Graph, quantized: ir.Model, measured: Sequence[Layer]) -> ir.Model:
    """Return the float network with the copies; its outputs are four sums a layer."""
    model = level_with(graph.clone(), quantized)
    twins, values = named_values(quantized), named_values(model)
    nodes = {str(n.name): n for n in model.graph}
    outputs: list[ir.Value] = []
    for number, layer in enumerate(measured):
        node = nodes[layer.name]
        behind = nodes[str(layer.activation.name)] if layer.activation is not None else None
        plain = (behind or node).outputs[0]
        rank = len(layer.output.shape) if layer.output.shape is not None else None
        tag = f"quant.local.{number}"
        outputs.append(append_sums(model, plain, rank, f"{tag}.signal"))
        for form in FORMS:
            made = _copy(model, node, behind, twins, values, f"{tag}.{form}")
            difference = append_node(model.graph, "Sub", [plain, made])
            outputs.append(append_sums(model, difference, rank, f"{tag}.{form}.noise"))
    model.graph.outputs.clear()
    model.graph.outputs.extend(outputs)
    model.graph.sort()
    return model


def _copy(
    model: ir.Model,
    node: ir.Node,
    behind: ir.Node | None,
    twins: dict[str, ir.Value],
    values: dict[str, ir.Value],
    tag: str,
) -> ir.Value:
    """Append a copy of a layer, partly on its grids, and return what it makes."""
    form = tag.rsplit(".", 1)[-1]
    twin = producer_of(twins, str(node.outputs[0].name))
    inputs: list[Any] = []
    for index, seen in enumerate(twin.inputs):
        own = node.inputs[index] if index < len(node.inputs) else None
        constant = own is None or own.const_value is not None
        if form not in ("both", "weight" if constant else "activations"):
            inputs.append(own)
            continue
        chain = grid_chain(seen)
        if not chain:
            inputs.append(outer_twin(seen, values, model.graph) if constant else own)
            continue
        source = chain[0].inputs[0]
        feed = outer_twin(source, values, model.graph) if constant else own
        copies = copied_chain(chain, feed, f"{tag}.input{index}", values, model.graph)
        model.graph.extend(copies)
        inputs.append(copies[-1].outputs[0])
    first = copied_node(node, inputs, f"{tag}.output")
    made = [first]
    if behind is not None:
        rest = [first.outputs[0], *behind.inputs[1:]]
        made.append(copied_node(behind, rest, f"{tag}.activated"))
    model.graph.extend(made)
    return made[-1].outputs[0]

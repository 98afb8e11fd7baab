"""Smooth plan: the plan of a smoothed graph, with the old grids wherever the numbers are the old ones.

The new profile is of fewer samples than the first, for those held aside must not teach. What did not
change keeps the better grid, and the step is judged by what it did.
"""

__all__ = ["kept_where_same"]

from collections.abc import Collection
from dataclasses import replace

from quant.graph.layers import source_of
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan, TensorPlan


def kept_where_same(
    before: Graph, old: Plan, after: Graph, new: Plan, moved: Collection[str]
) -> Plan:
    """Return the new plan with the old grids of tensors and weights that are as they were.

    Args:
        before: The graph.
        old: Its plan.
        after: The smoothed graph, of the same nodes and tensors.
        new: Its plan, chosen anew.
        moved: Names of tensors whose numbers may have changed; views of them count too.
    """
    sources = {source_of(before, name) for name in moved}
    nodes = {str(n.name): n for n in after.nodes}
    firsts = before.model.graph.initializers

    def same(tensor: TensorPlan) -> bool:
        if tensor.kind == "activation":
            return source_of(before, tensor.tensor) not in sources
        value = after.model.graph.initializers[tensor.tensor]
        known = firsts.get(tensor.tensor)
        return known is not None and known.const_value is value.const_value

    def unread(layer: str) -> bool:
        """Tell whether a layer reads, and its weight is, what it was."""
        inputs = [v for v in nodes[layer].inputs if v is not None]
        return all(
            value.const_value is firsts[str(value.name)].const_value
            if value.is_initializer() and str(value.name) in firsts
            else not value.is_initializer() and source_of(after, str(value.name)) not in sources
            for value in inputs
        )

    tensors = {}
    for key, tensor in new.tensors.items():
        known = old.tensors.get(key)
        alike = known is not None and (known.tensor, known.readers) == (
            tensor.tensor,
            tensor.readers,
        )
        tensors[key] = known if known is not None and alike and same(tensor) else tensor
    shifts = {k: v for k, v in new.shifts.items() if not unread(k)}
    shifts |= {k: v for k, v in old.shifts.items() if unread(k)}
    return replace(new, tensors=tensors, shifts=shifts)

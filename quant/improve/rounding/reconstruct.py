"""Reconstruct: learned rounding, block by block, after integers were fitted. Graph -> Graph.

What is written lies on its grid, so that rounding to nearest gives the learned integers again. The
parts and their sources: `quant/improve/rounding/blocks.py`, `quant/improve/rounding/soft_rounding.py`, `quant/improve/rounding/learn_block.py`.
"""

__all__ = ["reconstruct", "worth_learning"]

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quant.formats.number_format import Params
from quant.graph.prepared_graph import Graph, weight_of
from quant.improve.fit.layerwise_run import LayerwiseRun, Tensor, forget, spread_to
from quant.improve.fit.torch_operators import can_run
from quant.improve.fit.write_weights import write_layers
from quant.improve.rounding.blocks import find_blocks
from quant.improve.rounding.learn_block import BATCH, learn_block
from quant.improve.rounding.quantized_block import QuantizedBlock
from quant.plan.recipe import NOTHING, Recipe
from quant.plan.tensor_plans import Plan, TensorPlan


def worth_learning(graph: Graph, plan: Plan, recipe: Recipe = NOTHING) -> bool:
    """Tell whether a weight has less than 8 bits, or a recipe says `rounding = "learned"` of one."""
    for node in graph.nodes:
        name, weight = str(node.name), weight_of(node)
        grid = plan.grid(str(weight.name), name) if weight is not None else None
        if grid is None or grid.format is None:
            continue
        wanted = recipe.wants(name, node.op_type, "rounding")
        if wanted == "learned" or (wanted is None and grid.format.bits < 8):
            return True
    return False


def reconstruct(
    base: Graph,
    graph: Graph,
    plan: Plan,
    feeds: Mapping[str, NDArray[Any]],
    recipe: Recipe = NOTHING,
    *,
    seed: int = 0,
    threads: int = 0,
) -> tuple[Graph, Plan]:
    """Return the graph with learned weights and biases, and the plan that is about it.

    Block after block, behind all that was learned before it, takes the roundings, scales and biases
    with which its output is nearer to the float network's; or scales and biases alone where that is
    better, for integers that coordinate descent has fitted are hard to better; or stays as it was. Layers that are in no block, and what a recipe says `rounding =
    "fitted"`, `"nearest"` or `bias_correction = "off"` of, keep their numbers. A block takes a bounded
    number of steps, whatever the number of samples. The same seed, device and number of threads
    give the same bytes.

    Args:
        base: The graph with the float network's constants.
        graph: The same nodes with fitted ones.
        plan: Of `graph`.
        feeds: Float inputs by name, all samples; they are in memory with the activations between
            two places of the graph.
        recipe: The target's rules.
        seed: Of the order of the samples.
        threads: Of torch; 0 for all cores.
    """
    if threads:
        torch.set_num_threads(threads)
    graph, plan = _with_shifts(graph, plan)
    walk = LayerwiseRun(graph, plan, feeds, floats=base, chunk=BATCH)
    blocks = {b.nodes[0]: b for b in find_blocks(graph, can_run)}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    learned = _Learned(walk)
    gone = forget(graph)
    for index, node in enumerate(graph.nodes):
        if node in blocks:
            twins = [
                QuantizedBlock(walk, blocks[node], recipe.of(plan.target), device) for _ in range(2)
            ]
            twins[1].keep_integers()
            gains = [learn_block(twin, seed + index) for twin in twins]
            if max(gains) > 0:
                learned.take(twins[gains.index(max(gains))])
        with torch.no_grad():
            walk.step(node, quantized=True)
            walk.step(node, quantized=False)
        for name in gone.get(index, ()):
            walk.plain.pop(name, None)
            walk.seen.pop(name, None)
    return write_layers(graph, plan, learned.weights, learned.biases, learned.grids)


def _with_shifts(graph: Graph, plan: Plan) -> tuple[Graph, Plan]:
    """Put the plan's shifts into biases, where they can be learned."""
    biases = {}
    for node in graph.nodes:
        shift = plan.bias_shifts.get(str(node.name))
        if shift is None or weight_of(node) is None:
            continue
        old = node.inputs[2] if len(node.inputs) > 2 else None
        known = 0 if old is None else graph.array(str(old.name))
        biases[str(node.name), 2] = torch.from_numpy(np.asarray(known + shift, np.float32))
    return write_layers(graph, plan, {}, biases, {}) if biases else (graph, plan)


class _Learned:
    """What was learned so far; the walk goes on with it."""

    def __init__(self, walk: LayerwiseRun) -> None:
        self.walk = walk
        self.weights: dict[str, Tensor] = {}
        self.biases: dict[tuple[str, int], Tensor] = {}
        self.grids: dict[str, TensorPlan] = {}

    def take(self, twin: QuantizedBlock) -> None:
        """Take over a twin's numbers."""
        for node in twin.block.layers:
            name, weight = str(node.name), weight_of(node)
            assert weight is not None
            if name in twin.roundings:
                rounding = twin.roundings[name]
                grid = self.walk.plan.grid(str(weight.name), name)
                assert grid is not None
                assert isinstance(grid.params, Params)
                integers, scale = rounding.integers().cpu(), rounding.scale().detach().cpu()
                # the one product that DequantizeLinear makes: nearest finds these integers again
                made = integers * spread_to(scale, rounding.number.axis, integers.dim())
                fresh = Params(scale=scale.numpy().copy(), zero_point=grid.params.zero_point)
                because = f"{grid.because}; learned with its block"
                self.grids[grid.tensor] = replace(grid, params=fresh, because=because)
                self.weights[grid.tensor] = self.walk.weights[name, 1] = made
            if name in twin.biases:
                bias = twin.biases[name].detach().cpu()
                self.biases[name, 2] = self.walk.weights[name, 2] = bias

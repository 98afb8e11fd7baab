"""Learn the rounding of weights block by block, after integers were fitted.

The weights that are written lie on their grid, so that rounding to nearest gives the learned integers
again. The parts and their sources are `blocks.py`, `soft_rounding.py` and `learn_block.py` beside
this file.
"""

__all__ = ["reconstruct", "worth_learning"]

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quant.formats.number_format import Params
from quant.graph.layers import optional_input
from quant.graph.prepared_graph import Graph, weight_of
from quant.improve.fit.layerwise_run import LayerwiseRun, spread_to
from quant.improve.fit.settings import FitSettings
from quant.improve.fit.torch_operators import can_run
from quant.improve.fit.write_weights import FittedConstants, write_layers
from quant.improve.rounding.blocks import find_blocks
from quant.improve.rounding.learn_block import BATCH, learn_block
from quant.improve.rounding.quantized_block import QuantizedBlock
from quant.plan.recipe import NOTHING, Recipe
from quant.plan.tensor_plans import Plan

DEFAULTS = FitSettings()


def worth_learning(graph: Graph, plan: Plan, recipe: Recipe = NOTHING) -> bool:
    """Return whether a weight has less than 8 bits, or a recipe says `rounding = "learned"` of one."""
    for node in graph.nodes:
        name, weight = str(node.name), weight_of(node)
        grid = plan.grid(str(weight.name), name) if weight is not None else None
        if grid is None or grid.format is None:
            continue
        rounding = recipe.wants(name, node.op_type, "rounding")
        if rounding == "learned" or (rounding is None and grid.format.bits < 8):
            return True
    return False


def reconstruct(
    base: Graph,
    graph: Graph,
    plan: Plan,
    feeds: Mapping[str, NDArray[Any]],
    settings: FitSettings = DEFAULTS,
) -> tuple[Graph, Plan]:
    """Return the graph with learned weights and biases, and the plan that is about it.

    Block after block, behind all that was learned before it, takes the roundings, scales and biases
    with which its output is nearer to the float network's; or scales and biases alone where that is
    better, for integers that coordinate descent has fitted are hard to improve; or stays as it was.
    Layers that are in no block keep their numbers, and so do those with `rounding = "fitted"`,
    `"nearest"` or `bias_correction = "off"` in the recipe. A block takes a bounded number of steps,
    whatever the number of samples. The same seed, device and number of threads give the same bytes.

    Args:
        base: The graph with the float network's constants.
        graph: The same nodes with fitted ones.
        plan: The plan of `graph`.
        feeds: Float inputs by name, all samples; they are in memory with the activations between
            two places of the graph.
        settings: Recipe, seed and threads.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    graph, plan = _with_shifts(graph, plan)
    recipe = settings.recipe.of(plan.target)
    run = LayerwiseRun(graph, plan, feeds, floats=base, chunk=BATCH)
    blocks = {b.nodes[0]: b for b in find_blocks(graph, can_run)}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    learned = FittedConstants()
    for index, node in enumerate(graph.nodes):
        if node in blocks:
            # with roundings, and with scales and biases alone
            twins = [QuantizedBlock(run, blocks[node], recipe, device) for _ in range(2)]
            twins[1].keep_integers()
            gains = [learn_block(twin, settings.seed + index) for twin in twins]
            if max(gains) > 0:
                _take(twins[gains.index(max(gains))], learned)
        run.advance(node)
    return write_layers(graph, plan, learned)


def _with_shifts(graph: Graph, plan: Plan) -> tuple[Graph, Plan]:
    """Put the plan's shifts into biases, where they can be learned."""
    fitted = FittedConstants()
    for node in graph.nodes:
        shift = plan.bias_shifts.get(str(node.name))
        if shift is None or weight_of(node) is None:
            continue
        old = optional_input(node, 2)
        numbers = 0 if old is None else graph.array(str(old.name))
        fitted.biases[str(node.name), 2] = torch.from_numpy(np.asarray(numbers + shift, np.float32))
    return write_layers(graph, plan, fitted) if fitted.biases else (graph, plan)


def _take(block: QuantizedBlock, learned: FittedConstants) -> None:
    """Add a block's numbers to what was learned, and let its run go on with them."""
    for node in block.block.layers:
        name = str(node.name)
        if name in block.roundings:
            rounding = block.roundings[name]
            grid, params = block.weight_grids[name]
            integers, scale = rounding.integers().cpu(), rounding.scale().detach().cpu()
            # the one product that DequantizeLinear makes: nearest finds these integers again
            weight = integers * spread_to(scale, rounding.number.axis, integers.dim())
            learned.grids[grid.tensor] = replace(
                grid,
                params=Params(scale=scale.numpy().copy(), zero_point=params.zero_point),
                because=f"{grid.because}; learned with its block",
            )
            learned.weights[grid.tensor] = weight
            block.run.use(name, 1, weight)
        if name in block.biases:
            bias = block.biases[name].detach().cpu()
            learned.biases[name, 2] = bias
            block.run.use(name, 2, bias)

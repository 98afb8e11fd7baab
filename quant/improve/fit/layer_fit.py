"""Improve layer by layer: integers and biases that fit what reaches each layer. Graph -> Graph.

The weights that are written lie on their grid, so that rounding them to nearest, which is what
every exporter does, gives these integers again.
"""

__all__ = [
    "ROWS",
    "bias_is_per_output",
    "fit_layers",
    "has_bias",
    "is_linear",
    "on_integers",
    "output_axis_first",
]

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from quant.formats.number_format import Integer, Params
from quant.graph.layers import bias_place
from quant.graph.prepared_graph import Graph, weight_of
from quant.improve.fit.layerwise_run import LayerwiseRun, Tensor, fake_quantize, forget
from quant.improve.fit.least_squares import Rows, fit_layer, rows_of
from quant.improve.fit.torch_operators import can_run
from quant.improve.fit.write_weights import write_layers
from quant.plan.recipe import NOTHING, Recipe
from quant.plan.tensor_plans import Plan, TensorPlan


def is_linear(node: ir.Node, weight: ir.Value) -> bool:
    """Tell whether a layer's output is a product of rows with its weight, which it alone reads."""
    rank = len(weight.shape) if weight.shape is not None else 0
    if len(weight.uses()) != 1 or weight.is_graph_output():
        return False
    if node.op_type == "Conv":
        return rank == 4 and can_run(node)
    if node.op_type == "Gemm":
        told = node.attributes
        scaled = told.get_float("alpha", 1.0), told.get_float("beta", 1.0)
        return not told.get_int("transA", 0) and scaled == (1.0, 1.0)
    return node.op_type == "MatMul" and rank == 2


def has_bias(node: ir.Node) -> bool:
    """Tell whether a Conv or Gemm has a bias."""
    return node.op_type != "MatMul" and len(node.inputs) > 2 and node.inputs[2] is not None


def bias_is_per_output(node: ir.Node) -> bool:
    """Tell whether a bias is none, or a constant with one number for each output."""
    if not has_bias(node):
        return True
    bias, weight = node.inputs[2], node.inputs[1]
    assert bias is not None
    assert weight is not None
    if not bias.is_initializer() or bias.shape is None or weight.shape is None:
        return False
    axis = 0 if node.op_type == "Conv" or output_axis_first(node) else 1
    return len(bias.shape) == 1 and bias.shape[0] == weight.shape[axis]


def on_integers(grid: TensorPlan) -> bool:
    """Tell whether a weight lies on uniform integers around zero, with a scale per output or one."""
    number = grid.format
    return isinstance(number, Integer) and number.symmetric and number.signed and number.bits <= 8


def output_axis_first(node: ir.Node) -> bool:
    """Tell whether a matrix has its outputs along axis 0."""
    turned: int = node.attributes.get_int("transB", 0)
    return node.op_type == "Gemm" and turned == 1


ROWS = 4096
"""Rows a layer is fitted on."""


MOST = 4608
"""Inputs of a layer above which its integers stay the nearest: the square matrix of so many floats
takes 170 MB, and its inverse seconds. 512 channels of 3 x 3 are as many."""


FACTORS: Mapping[bool, tuple[float, ...]] = {
    True: (1.0, 1.2, 1.1, 0.9, 0.8, 0.7, 0.6),
    False: (1.0, 1.05, 0.95, 0.9),
}
"""Of the chosen scale, tried for each channel; True: for weights under 8 bits."""


ROOM = 2.0**30
"""Largest bias in units of input scale * weight scale: half of int32."""


def fit_layers(
    graph: Graph,
    plan: Plan,
    feeds: Mapping[str, NDArray[Any]],
    recipe: Recipe = NOTHING,
    *,
    rounding: bool = True,
    seed: int = 0,
    threads: int = 0,
    rows: int = ROWS,
) -> tuple[Graph, Plan]:
    """Return the graph with fitted weights and biases, and the plan that is about it.

    Every layer with a constant weight on a grid gets the bias that takes back its mean error behind
    all that was quantized before it (the sequential empirical correction). A Conv with two spatial
    axes, Gemm or MatMul whose weight has symmetric integers gets fitted integers and, with a scale
    per channel, fitted scales: `quant/improve/fit/least_squares.py`. Other formats keep their numbers.

    Left alone are weights that several nodes read, layers of more than 4608 inputs (their bias
    alone is fitted), ConvTranspose, and what a recipe says `rounding = "nearest"` or
    `bias_correction = "off"` of.

    Args:
        graph: The prepared graph.
        plan: Of it; its bias shifts go into the graph where the bias is fitted.
        feeds: Float inputs by name, all samples; they are in memory with the activations between
            two places of the graph.
        recipe: The target's rules.
        rounding: False corrects biases only.
        seed: Of the positions of convolutions that are looked at.
        threads: Of torch; 0 for all cores.
        rows: A layer is fitted on about so many.
    """
    if threads:
        torch.set_num_threads(threads)
    work = _Work(
        graph, plan, LayerwiseRun(graph, plan, feeds), recipe.of(plan.target), rounding, seed
    )
    work.rows = rows
    gone = forget(graph)
    with torch.no_grad():
        for index, node in enumerate(graph.nodes):
            work.improve(node)
            work.walk.step(node, quantized=True)
            work.walk.step(node, quantized=False)
            for name in gone.get(index, ()):
                work.walk.plain.pop(name, None)
                work.walk.seen.pop(name, None)
    return write_layers(graph, plan, work.weights, work.biases, work.grids)


class _Work:
    """What was fitted so far."""

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        walk: LayerwiseRun,
        recipe: Recipe,
        rounding: bool,
        seed: int,
    ) -> None:
        self.graph, self.plan, self.walk, self.recipe = graph, plan, walk, recipe
        self.rounding, self.seed, self.rows = rounding, seed, ROWS
        self.grids: dict[str, TensorPlan] = {}
        self.weights: dict[str, Tensor] = {}
        self.biases: dict[tuple[str, int], Tensor] = {}

    def improve(self, node: ir.Node) -> None:
        """Fit one layer and let the walk go on with it."""
        name, weight = str(node.name), weight_of(node)
        grid = self.plan.grid(str(weight.name), name) if weight is not None else None
        layer = self.plan.layers.get(name)
        if weight is None or grid is None or layer is None or not layer.quantized:
            return
        if not is_linear(node, weight) or not bias_is_per_output(node):
            return
        wants = {
            k: self.recipe.wants(name, node.op_type, k) for k in ("rounding", "bias_correction")
        }
        fits = self.rounding and wants["rounding"] != "nearest" and on_integers(grid)
        place = bias_place(node)
        corrects = wants["bias_correction"] != "off" and place is not None
        if not (fits or corrects):
            return
        matrix = _matrix(node, self.walk.constant(weight))
        rows = rows_of(self.walk, node, self.rows, self.seed)
        if rows.x.shape[2] > MOST:
            fits = False
        if fits:
            made, short = self._integers(node, weight, grid, rows, matrix, biased=corrects)
        else:
            made = _matrix(node, fake_quantize(self.walk.constant(weight), grid)).double()
            short = rows.y.double().mean(1) - (made @ rows.x.double().mean(1)[..., None])[..., 0]
        if corrects and place is not None:
            holder, index = place
            old = holder.inputs[index] if len(holder.inputs) > index else None
            bias = self.walk.constant(old) if old is not None else torch.zeros(1)
            key = (str(holder.name), index)
            self.biases[key] = (bias.double() + short.reshape(-1)).float()
            self.walk.weights[key] = self.biases[key]

    def _integers(
        self,
        node: ir.Node,
        weight: ir.Value,
        grid: TensorPlan,
        rows: Rows,
        matrix: Tensor,
        *,
        biased: bool,
    ) -> tuple[Tensor, Tensor]:
        """Fit the integers of a layer; return its weights `[G, M, K]` and what the bias is short of."""
        number, params = grid.format, grid.params
        assert isinstance(number, Integer)
        assert isinstance(params, Params)
        groups, count, _ = matrix.shape
        flat = np.broadcast_to(params.scale, (groups * count,)).copy()
        factors = FACTORS[number.bits < 8] if number.axis is not None else (1.0,)
        scale = torch.from_numpy(flat).reshape(groups, count)
        least = self._least_scale(node, groups, count)
        ends = number.qmin, number.qmax
        q, scale, short = fit_layer(rows, matrix, scale, least, *ends, factors, biased=biased)
        if number.axis is not None:
            fresh = Params(scale=scale.reshape(-1).numpy().copy(), zero_point=params.zero_point)
            self.grids[grid.tensor] = replace(
                grid, params=fresh, because=f"{grid.because}; fitted to the layer's output"
            )
        made = q * scale.double()[..., None]
        # the one product that DequantizeLinear makes, so that nearest finds these integers again
        exact = _unmatrix(node, q.float() * scale[..., None], self.walk.constant(weight))
        self.weights[str(weight.name)] = exact
        self.walk.weights[str(node.name), 1] = exact
        return made, short

    def _least_scale(self, node: ir.Node, groups: int, count: int) -> Tensor:
        """Return the scales `[G, M]` below which a bias would not fit int32."""
        data = self.plan.grid(str(node.inputs[0].name), str(node.name))  # type: ignore[union-attr]
        if not has_bias(node) or data is None or not isinstance(data.params, Params):
            return torch.zeros(groups, count)
        bias = self.walk.constant(node.inputs[2]).reshape(groups, count).abs()  # type: ignore[arg-type]
        return bias / (float(data.params.scale.max()) * ROOM)


def _matrix(node: ir.Node, weight: Tensor) -> Tensor:
    """Return a weight as `[G, M, K]`: groups, their outputs, the inputs of each."""
    if node.op_type == "Conv":
        groups = node.attributes.get_int("group", 1)
        return weight.reshape(groups, weight.shape[0] // groups, -1)
    return (weight if output_axis_first(node) else weight.T)[None]


def _unmatrix(node: ir.Node, matrix: Tensor, like: Tensor) -> Tensor:
    """Return `[G, M, K]` in the weight's own layout."""
    if node.op_type == "Conv":
        return matrix.reshape(like.shape)
    return matrix[0] if output_axis_first(node) else matrix[0].T.contiguous()

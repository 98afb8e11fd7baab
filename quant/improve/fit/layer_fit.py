"""Fit integers and biases, layer by layer, to what reaches each layer.

The weights that are written lie on their grid, so that rounding them to nearest, which is what
every exporter does, gives these integers again.
"""

__all__ = [
    "bias_is_per_output",
    "fit_layers",
    "has_bias",
    "integer_grid",
    "is_linear",
    "output_axis_first",
]

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from quant.formats.number_format import Integer, Params
from quant.graph.layers import bias_place, data_input, optional_input
from quant.graph.prepared_graph import Graph, weight_of
from quant.improve.fit.layerwise_run import LayerwiseRun, Tensor, fake_quantize
from quant.improve.fit.least_squares import Rows, WeightGrid, fit_layer, rows_of
from quant.improve.fit.settings import FitSettings
from quant.improve.fit.torch_operators import can_run
from quant.improve.fit.write_weights import FittedConstants, write_layers
from quant.plan.tensor_plans import Plan, TensorPlan

MAX_INPUTS = 4608
"""Inputs of a layer above which its integers stay the nearest: the square matrix of so many floats
takes 170 MB, and its inverse seconds. 512 channels of 3 x 3 are as many."""

FACTORS: Mapping[bool, tuple[float, ...]] = {
    True: (1.0, 1.2, 1.1, 0.9, 0.8, 0.7, 0.6),
    False: (1.0, 1.05, 0.95, 0.9),
}
"""On the chosen scale, tried for each channel; True: for weights under 8 bits."""

MAX_BIAS = 2.0**30
"""Largest bias in units of input scale * weight scale: half of int32."""

DEFAULTS = FitSettings()


def is_linear(node: ir.Node, weight: ir.Value) -> bool:
    """Return whether a layer's output is a product of rows with its weight, which it alone reads."""
    rank = len(weight.shape) if weight.shape is not None else 0
    if len(weight.uses()) != 1 or weight.is_graph_output():
        return False
    if node.op_type == "Conv":
        return rank == 4 and can_run(node)
    if node.op_type == "Gemm":
        factors = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
        return not node.attributes.get_int("transA", 0) and factors == [1.0, 1.0]
    return node.op_type == "MatMul" and rank == 2


def has_bias(node: ir.Node) -> bool:
    """Return whether a Conv or Gemm has a bias."""
    return node.op_type != "MatMul" and optional_input(node, 2) is not None


def bias_is_per_output(node: ir.Node) -> bool:
    """Return whether a layer has no bias, or a constant one with one number for each output."""
    if not has_bias(node):
        return True
    bias, weight = data_input(node, 2), data_input(node, 1)
    if not bias.is_initializer() or bias.shape is None or weight.shape is None:
        return False
    axis = 0 if node.op_type == "Conv" or output_axis_first(node) else 1
    return len(bias.shape) == 1 and bias.shape[0] == weight.shape[axis]


def integer_grid(grid: TensorPlan) -> tuple[Integer, Params] | None:
    """Return integers around zero of 8 bits or less, with their scale; None for other grids."""
    number, params = grid.format, grid.params
    if not isinstance(number, Integer) or not isinstance(params, Params):
        return None
    around_zero = number.symmetric and number.signed and number.bits <= 8
    return (number, params) if around_zero else None


def output_axis_first(node: ir.Node) -> bool:
    """Return whether a matrix has its outputs along axis 0."""
    transposed: int = node.attributes.get_int("transB", 0)
    return node.op_type == "Gemm" and transposed == 1


def fit_layers(
    graph: Graph,
    plan: Plan,
    feeds: Mapping[str, NDArray[Any]],
    settings: FitSettings = DEFAULTS,
) -> tuple[Graph, Plan]:
    """Return the graph with fitted weights and biases, and the plan that is about it.

    Every layer with a constant weight on a grid gets the bias that takes back its mean error behind
    all that was quantized before it (the sequential empirical correction). A Conv with two spatial
    axes, Gemm or MatMul whose weight has symmetric integers gets fitted integers and, with a scale
    per channel, fitted scales: `quant/improve/fit/least_squares.py`. Other formats keep their numbers.

    Left alone are weights that several nodes read, layers of more than 4608 inputs (their bias
    alone is fitted), ConvTranspose, and layers with `rounding = "nearest"` or
    `bias_correction = "off"` in the recipe.

    Args:
        graph: The prepared graph.
        plan: The graph's plan; its bias shifts go into the graph where the bias is fitted.
        feeds: Float inputs by name, all samples; they are in memory with the activations between
            two places of the graph.
        settings: What is fitted, and on how many rows.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    fit = _LayerFit(
        LayerwiseRun(graph, plan, feeds), replace(settings, recipe=settings.recipe.of(plan.target))
    )
    for node in graph.nodes:
        with torch.no_grad():
            fit.fit(node)
        fit.run.advance(node)
    return write_layers(graph, plan, fit.fitted)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Linear:
    """A layer that can be fitted.

    Attributes:
        node: Conv, Gemm or MatMul.
        weight: Its weight, which no other node reads.
        grid: The weight's grid.
        integers: Format and scale of the grid where its integers are fitted; None where they stay.
        bias_place: Node and input of the bias that is corrected; None for none.
    """

    node: ir.Node
    weight: ir.Value
    grid: TensorPlan
    integers: tuple[Integer, Params] | None
    bias_place: tuple[ir.Node, int] | None


@dataclass(frozen=True, slots=True)
class _LayerFit:
    """Fits one layer after the other.

    Attributes:
        run: Both networks, standing before the layer.
        settings: With the target's own rules.
        fitted: The constants so far.
    """

    run: LayerwiseRun
    settings: FitSettings
    fitted: FittedConstants = field(default_factory=FittedConstants)

    def fit(self, node: ir.Node) -> None:
        """Fit a layer, if it can be; the quantized network goes on with its new constants."""
        layer = self._linear(node)
        if layer is None:
            return
        matrix = _matrix(node, self.run.constant(layer.weight))
        rows = rows_of(self.run, node, self.settings.rows, self.settings.seed)
        if layer.integers is not None and rows.x.shape[2] <= MAX_INPUTS:
            change = self._fit_integers(layer, layer.integers, rows, matrix)
        else:
            stored = fake_quantize(self.run.constant(layer.weight), layer.grid)
            means = rows.x.double().mean(1)[..., None]
            change = rows.y.double().mean(1) - (_matrix(node, stored).double() @ means)[..., 0]
        if layer.bias_place is not None:
            self._change_bias(*layer.bias_place, change)

    def _linear(self, node: ir.Node) -> _Linear | None:
        """Return what of a node is to be fitted; None for nothing."""
        name, weight, plan = str(node.name), weight_of(node), self.run.plan
        grid = plan.grid(str(weight.name), name) if weight is not None else None
        layer = plan.layers.get(name)
        if weight is None or grid is None or layer is None or not layer.quantized:
            return None
        if not is_linear(node, weight) or not bias_is_per_output(node):
            return None
        rounding, correction = (
            self.settings.recipe.wants(name, node.op_type, key)
            for key in ("rounding", "bias_correction")
        )
        fits = self.settings.rounding and rounding != "nearest"
        integers = integer_grid(grid) if fits else None
        place = bias_place(node) if correction != "off" else None
        if integers is None and place is None:
            return None
        return _Linear(node=node, weight=weight, grid=grid, integers=integers, bias_place=place)

    def _fit_integers(
        self, layer: _Linear, integers: tuple[Integer, Params], rows: Rows, matrix: Tensor
    ) -> Tensor:
        """Fit the integers of a layer `[G, M, K]`; return what its bias must change by."""
        number, params = integers
        groups, count, _ = matrix.shape
        scale = np.broadcast_to(params.scale, (groups * count,)).copy()
        grid = WeightGrid(
            scale=torch.from_numpy(scale).reshape(groups, count),
            least_scale=self._least_scale(layer.node, groups, count),
            limits=(number.qmin, number.qmax),
            factors=FACTORS[number.bits < 8] if number.axis is not None else (1.0,),
        )
        fit = fit_layer(rows, matrix, grid, biased=layer.bias_place is not None)
        if number.axis is not None:
            scales = fit.scale.reshape(-1).numpy().copy()
            self.fitted.grids[layer.grid.tensor] = replace(
                layer.grid,
                params=Params(scale=scales, zero_point=params.zero_point),
                because=f"{layer.grid.because}; fitted to the layer's output",
            )
        # the one product that DequantizeLinear makes, so that nearest finds these integers again
        on_grid = fit.integers.float() * fit.scale[..., None]
        weight = _unmatrix(layer.node, on_grid, self.run.constant(layer.weight))
        self.fitted.weights[str(layer.weight.name)] = weight
        self.run.use(str(layer.node.name), 1, weight)
        return fit.bias_change

    def _change_bias(self, holder: ir.Node, index: int, change: Tensor) -> None:
        """Add `[G, M]` to a bias, and let the quantized network go on with it."""
        old = optional_input(holder, index)
        bias = self.run.constant(old) if old is not None else torch.zeros(1)
        key = (str(holder.name), index)
        self.fitted.biases[key] = (bias.double() + change.reshape(-1)).float()
        self.run.use(*key, self.fitted.biases[key])

    def _least_scale(self, node: ir.Node, groups: int, count: int) -> Tensor:
        """Return the scales `[G, M]` below which a bias would not fit int32."""
        data = self.run.plan.grid(str(data_input(node, 0).name), str(node.name))
        if not has_bias(node) or data is None or not isinstance(data.params, Params):
            return torch.zeros(groups, count)
        bias = self.run.constant(data_input(node, 2)).reshape(groups, count).abs()
        return bias / (float(data.params.scale.max()) * MAX_BIAS)


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

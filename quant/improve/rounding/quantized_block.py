"""A block run in float and on the grids of a plan, with the numbers in it that can be learned."""

__all__ = ["QuantizedBlock", "straight_through"]

from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from quant.formats.number_format import Integer, Params
from quant.graph.prepared_graph import weight_of
from quant.improve.fit.layer_fit import bias_is_per_output, has_bias, integer_grid, is_linear
from quant.improve.fit.layerwise_run import LayerwiseRun, fake_quantize
from quant.improve.fit.torch_operators import run_node
from quant.improve.rounding.blocks import Block
from quant.improve.rounding.soft_rounding import SoftRounding
from quant.plan.recipe import Recipe
from quant.plan.tensor_plans import TensorPlan

Tensor = torch.Tensor


class QuantizedBlock:
    """One block in both networks, at the place that a run has reached.

    Attributes:
        block: The nodes.
        roundings: By node name, of the layers whose integers are learned.
        weight_grids: By node name the grids of these integers.
        biases: By node name float32 `[M]`, those that are learned.

    Args:
        run: Both networks, before the block.
        block: All of its nodes run in torch.
        recipe: The target's rules.
        device: Where it is learned.
    """

    def __init__(
        self, run: LayerwiseRun, block: Block, recipe: Recipe, device: torch.device
    ) -> None:
        self.run, self.block, self.device = run, block, device
        self.roundings: dict[str, SoftRounding] = {}
        self.weight_grids: dict[str, tuple[TensorPlan, Params]] = {}
        self.biases: dict[str, Tensor] = {}
        self._constants: dict[tuple[str, int, bool], Tensor] = {}
        for node in block.nodes:
            for index, value in enumerate(node.inputs):
                if value is None or not value.is_initializer():
                    continue
                for quantized in (False, True):
                    constant = run.read(node, index, quantized=quantized, chunk=0)
                    self._constants[str(node.name), index, quantized] = constant.to(device)
            self._learn(node, recipe)

    def _learn(self, node: ir.Node, recipe: Recipe) -> None:
        name, weight = str(node.name), weight_of(node)
        grid = self.run.plan.grid(str(weight.name), name) if weight is not None else None
        layer = self.run.plan.layers.get(name)
        if weight is None or grid is None or layer is None or not layer.quantized:
            return
        if not is_linear(node, weight) or not bias_is_per_output(node):
            return
        rounding = recipe.wants(name, node.op_type, "rounding")
        integers = integer_grid(grid)
        if rounding in (None, "learned") and integers is not None:
            self.roundings[name] = self._rounding(name, *integers)
            self.weight_grids[name] = grid, integers[1]
        if has_bias(node) and recipe.wants(name, node.op_type, "bias_correction") != "off":
            self.biases[name] = self._constants[name, 2, True].clone().requires_grad_()

    def _rounding(self, name: str, number: Integer, params: Params) -> SoftRounding:
        scale = torch.from_numpy(np.array(params.scale)).to(self.device)
        on_grid, exact = (self._constants[name, 1, q] for q in (True, False))
        return SoftRounding(number, scale, on_grid, exact)

    def keep_integers(self) -> None:
        """Decide every rounding as it is: scales and biases are learned alone."""
        for rounding in self.roundings.values():
            rounding.settle(1.0)

    def entry(self, chunk: int) -> tuple[Tensor, Tensor]:
        """Return what enters the block in the float network and in the quantized one."""
        name = self.block.entry
        return self.run.float_values[name][chunk].to(self.device), self.run.quantized_values[name][
            chunk
        ].to(self.device)

    def macs(self, x: Tensor) -> int:
        """Return the multiply-accumulates of the layers for an entry."""
        values, total = {self.block.entry: x}, 0
        for node in self.block.nodes:
            output = run_node(node, self._inputs(node, values, quantized=False))
            values[str(node.outputs[0].name)] = output
            if weight_of(node) is not None:
                weight = self._constants[str(node.name), 1, False]
                channels = output.shape[1 if node.op_type == "Conv" else -1]
                total += output.numel() * weight.numel() // max(channels, 1)
        return total

    def float_output(self, x: Tensor) -> Tensor:
        """Return the block's output in the float network for its entry there."""
        return self.float_outputs(x)[self.block.exit]

    def float_outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Return the entry and the outputs of all nodes in the float network, by name."""
        values = {self.block.entry: x}
        for node in self.block.nodes:
            inputs = self._inputs(node, values, quantized=False)
            values[str(node.outputs[0].name)] = run_node(node, inputs)
        return values

    def quantized_output(self, x: Tensor) -> Tensor:
        """Return the block's output on grids, as it is being learned; gradients go straight through.

        The output itself is not rounded: its grid belongs to the next block.

        Args:
            x: Its entry, on its grid where all readers see one.
        """
        values = {self.block.entry: x}
        for node in self.block.nodes:
            output = run_node(node, self._inputs(node, values, quantized=True))
            name = str(node.outputs[0].name)
            grid = self.run.one_grid(name) if name != self.block.exit else None
            values[name] = straight_through(output, grid)
        return values[self.block.exit]

    def _inputs(self, node: ir.Node, values: dict[str, Tensor], *, quantized: bool) -> list[Any]:
        inputs: list[Tensor | None] = []
        for index, value in enumerate(node.inputs):
            name = str(node.name)
            if value is None:
                inputs.append(None)
            elif value.is_initializer():
                inputs.append(self._constant(name, index, quantized=quantized))
            else:
                x = values[str(value.name)]
                if quantized and self.run.one_grid(str(value.name)) is None:
                    x = straight_through(x, self.run.plan.grid(str(value.name), name))
                inputs.append(x)
        return inputs

    def _constant(self, name: str, index: int, *, quantized: bool) -> Tensor:
        if quantized and index == 1 and name in self.roundings:
            return self.roundings[name].weight()
        if quantized and index == 2 and name in self.biases:
            return self.biases[name]
        return self._constants[name, index, quantized]


def straight_through(x: Tensor, grid: TensorPlan | None) -> Tensor:
    """Return `x` on a grid, with the gradient of the clipped identity where the grid is uniform.

    Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons"; other
    grids pass every gradient on.
    """
    if grid is None or grid.format is None or grid.params is None:
        return x
    number, params = grid.format, grid.params
    if isinstance(number, Integer) and isinstance(params, Params) and params.scale.ndim == 0:
        on_steps: Tensor = torch.fake_quantize_per_tensor_affine(
            x, float(params.scale), int(params.zero_point), number.qmin, number.qmax
        )
        return on_steps
    with torch.no_grad():
        on_grid = fake_quantize(x.detach().cpu().clone(), grid).to(x.device)
    return x + (on_grid - x).detach()

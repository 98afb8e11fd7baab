"""Twin: a block run in float and as the chip will see it, with what can be learned of it."""

__all__ = ["QuantizedBlock", "straight_through"]

from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from quant.formats.number_format import Integer, Params
from quant.graph.prepared_graph import weight_of
from quant.improve.fit.layer_fit import bias_is_per_output, has_bias, is_linear, on_integers
from quant.improve.fit.layerwise_run import LayerwiseRun, fake_quantize
from quant.improve.fit.torch_operators import run_node
from quant.improve.rounding.blocks import Block
from quant.improve.rounding.soft_rounding import SoftRounding
from quant.plan.recipe import Recipe
from quant.plan.tensor_plans import TensorPlan

Tensor = torch.Tensor


class QuantizedBlock:
    """One block in both networks, standing where a walk stands.

    Attributes:
        block: The nodes.
        roundings: By node name, of the layers whose integers are learned.
        biases: By node name float32 `[M]`, those that are learned.

    Args:
        walk: Before the block.
        block: All of its nodes run in torch.
        recipe: The target's rules.
        device: Where it is learned.
    """

    def __init__(
        self, walk: LayerwiseRun, block: Block, recipe: Recipe, device: torch.device
    ) -> None:
        self.walk, self.block, self.device = walk, block, device
        self.roundings: dict[str, SoftRounding] = {}
        self.biases: dict[str, Tensor] = {}
        self._constants: dict[tuple[str, int, bool], Tensor] = {}
        for node in block.nodes:
            for index, value in enumerate(node.inputs):
                if value is None or not value.is_initializer():
                    continue
                for quantized in (False, True):
                    made = walk.read(node, index, quantized=quantized, chunk=0)
                    assert made is not None
                    self._constants[str(node.name), index, quantized] = made.to(device)
            self._learn(node, recipe)

    def _learn(self, node: ir.Node, recipe: Recipe) -> None:
        name, weight = str(node.name), weight_of(node)
        grid = self.walk.plan.grid(str(weight.name), name) if weight is not None else None
        layer = self.walk.plan.layers.get(name)
        if weight is None or grid is None or layer is None or not layer.quantized:
            return
        if not is_linear(node, weight) or not bias_is_per_output(node):
            return
        wanted = recipe.wants(name, node.op_type, "rounding")
        if wanted in (None, "learned") and on_integers(grid):
            self.roundings[name] = self._rounding(name, grid)
        if has_bias(node) and recipe.wants(name, node.op_type, "bias_correction") != "off":
            self.biases[name] = self._constants[name, 2, True].clone().requires_grad_()

    def _rounding(self, name: str, grid: TensorPlan) -> SoftRounding:
        number, params = grid.format, grid.params
        assert isinstance(number, Integer)
        assert isinstance(params, Params)
        scale = torch.from_numpy(np.array(params.scale)).to(self.device)
        now, wanted = (self._constants[name, 1, q] for q in (True, False))
        return SoftRounding(number, scale, now, wanted)

    def keep_integers(self) -> None:
        """Decide every rounding as it is: scales and biases are learned alone."""
        for rounding in self.roundings.values():
            rounding.settle(1.0)

    def entry(self, chunk: int) -> tuple[Tensor, Tensor]:
        """Return what enters the block in the float network and in the quantized one."""
        name = self.block.entry
        return self.walk.plain[name][chunk].to(self.device), self.walk.seen[name][chunk].to(
            self.device
        )

    def macs(self, x: Tensor) -> int:
        """Return the multiply-accumulates of the layers for an entry."""
        values, total = {self.block.entry: x}, 0
        for node in self.block.nodes:
            made = run_node(node, self._inputs(node, values, quantized=False))
            values[str(node.outputs[0].name)] = made
            if weight_of(node) is not None:
                weight = self._constants[str(node.name), 1, False]
                outputs = made.shape[1 if node.op_type == "Conv" else -1]
                total += made.numel() * weight.numel() // max(outputs, 1)
        return total

    def plain(self, x: Tensor, deviations: dict[str, float] | None = None) -> Tensor:
        """Return the block's output in the float network.

        Args:
            x: Its entry in the float network.
            deviations: Gets the standard deviation of each node's output.
        """
        values = {self.block.entry: x}
        for node in self.block.nodes:
            made = run_node(node, self._inputs(node, values, quantized=False))
            values[str(node.outputs[0].name)] = made
            if deviations is not None:
                deviations[str(node.name)] = float(made.std(correction=0))
        return values[self.block.exit]

    def seen(self, x: Tensor) -> Tensor:
        """Return the block's output on grids, as it is being learned; gradients go straight through.

        The output itself is not rounded: what it is rounded to is the next block's affair.

        Args:
            x: Its entry, on its grid where all readers see one.
        """
        values = {self.block.entry: x}
        for node in self.block.nodes:
            made = run_node(node, self._inputs(node, values, quantized=True))
            name = str(node.outputs[0].name)
            grid = self.walk.one_grid(name) if name != self.block.exit else None
            values[name] = straight_through(made, grid)
        return values[self.block.exit]

    def _inputs(self, node: ir.Node, values: dict[str, Tensor], *, quantized: bool) -> list[Any]:
        found: list[Tensor | None] = []
        for index, value in enumerate(node.inputs):
            name = str(node.name)
            if value is None:
                found.append(None)
            elif value.is_initializer():
                found.append(self._constant(name, index, quantized=quantized))
            else:
                x = values[str(value.name)]
                if quantized and self.walk.one_grid(str(value.name)) is None:
                    x = straight_through(x, self.walk.plan.grid(str(value.name), name))
                found.append(x)
        return found

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
        made: Tensor = torch.fake_quantize_per_tensor_affine(
            x, float(params.scale), int(params.zero_point), number.qmin, number.qmax
        )
        return made
    with torch.no_grad():
        on_grid = fake_quantize(x.detach().cpu().clone(), grid).to(x.device)
    return x + (on_grid - x).detach()

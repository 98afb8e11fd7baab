"""Learn the roundings, scales and biases of a block, by gradients of the error at its output.

    minimize  |f(x') - F(x)|^2 / |f0(x') - F(x)|^2  +  r mean(1 - |2h - 1|^2)

F is the block in float and x its entry there; f is the block on grids, f0 as it was given, and x'
mixes, element by element, the entry that the quantized network has with x (Wei et al. 2022,
"QDrop", section 4: half and half). Reconstruction of blocks is Li et al. 2021, "BRECQ"; the
roundings are those of `quant/improve/rounding/soft_rounding.py`. Steps are Adam's (Kingma and Ba 2015).

Both networks run on the same window as if it were a whole map, with the same padding around it, so
that their outputs can be compared; this holds where every node computes each place of its output
from a neighbourhood in its input. Other blocks get whole maps.
"""

__all__ = ["Crop", "crop_of", "learn_block"]

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch

from quant.graph.prepared_graph import Graph, weight_of
from quant.improve.rounding.blocks import Block
from quant.improve.rounding.quantized_block import QuantizedBlock
from quant.metrics.squared_error import SquaredError

LOCAL = frozenset(
    {
        *("Add", "AveragePool", "Clip", "Concat", "Conv", "HardSigmoid", "HardSwish", "Identity"),
        *("LeakyRelu", "MaxPool", "Mul", "Relu", "Sigmoid", "Sub", "Tanh"),
    }
)
"""Operators whose output at a place depends on a neighbourhood of it."""


PLACES = 20
"""Rows and columns that a window has at the exit: with 3 x 3 taps nine of ten see no border."""


ALIGNED = 4
"""Windows begin at multiples of it, so that strides fall on the places they fall on in the map."""


@dataclass(frozen=True, slots=True)
class Crop:
    """Rows and columns of a window; a map that has fewer keeps all of its own."""

    rows: int
    columns: int

    def cut(self, maps: tuple[torch.Tensor, ...], rng: np.random.Generator) -> list[torch.Tensor]:
        """Return the same random window of maps `[N, C, H, W]` of one shape."""
        height, width = maps[0].shape[2:]
        top = ALIGNED * int(rng.integers(max(height - self.rows, 0) // ALIGNED + 1))
        left = ALIGNED * int(rng.integers(max(width - self.columns, 0) // ALIGNED + 1))
        return [x[:, :, top : top + self.rows, left : left + self.columns] for x in maps]


def crop_of(block: Block, graph: Graph, entry: torch.Size, out: torch.Size) -> Crop | None:
    """Return the window for a block, or None where it needs whole maps or they are small.

    Args:
        block: The nodes.
        graph: With its constants.
        entry: Shape of the entry.
        out: Shape of the exit.
    """
    if len(entry) != 4 or len(out) != 4 or not all(_local(n, graph) for n in block.nodes):
        return None
    sizes = [PLACES * max(1, round(entry[i] / max(out[i], 1))) for i in (2, 3)]
    if all(sizes[i] >= entry[i + 2] for i in range(2)):
        return None
    return Crop(*sizes)


def _local(node: ir.Node, graph: Graph) -> bool:
    """Return whether a node may run on a window: none of its constants but the weight is a map."""
    if node.op_type not in LOCAL or node.attributes.get_int("axis", 1) != 1:
        return False
    if weight_of(node) is not None:
        return True
    constants = [
        graph.array(str(v.name)) for v in node.inputs if v is not None and v.is_initializer()
    ]
    return all(np.prod(c.shape[-2:]) == 1 for c in constants)


Tensor = torch.Tensor


MAX_STEPS, MIN_STEPS = 40, 12
"""Gradient steps of a block at most and at least."""


BATCH = 8
"""Samples of a step."""


MAX_RUNS = 2
"""Runs that make up a step where the graph has a batch size of its own, at most."""


MAX_MACS = 2.0e11
"""Multiply-accumulates that the steps of a block may take: some ten seconds on two cores."""


PASSES = 4
"""How often a step does a block's work: in float, on grids, and twice as much for the gradients."""


QUANTIZED_SHARE = 0.5
"""Share of the elements of the entry that are the quantized network's (QDrop)."""


RATES = {"v": 0.05, "e": 1e-3, "bias": 1e-3}
"""Adam's learning rates: of the rounding variables, logarithms of scales, and biases in units of the standard
deviation of their layer's output."""


MAX_REGULARIZATION = 0.2
"""r above, at the last step; it grows from 0."""


DECIDING_STEPS = 0.6, 0.95
"""Shares of the steps at which the first roundings are decided and the last ones."""


JUDGED_SAMPLES = 32
"""Samples on which a block is judged before and after."""


def learn_block(block: QuantizedBlock, seed: int) -> float:
    """Learn a block's numbers; return how many dB nearer to the float network its output is.

    The block's roundings, scales and biases are then the learned ones; under 0 dB they are not to be
    used. The gain is that of the squared error behind the quantized network's entry, all roundings
    decided, on the first 32 samples.

    Args:
        block: At its place of the run.
        seed: Decides the order of samples, the windows and the mix.
    """
    before = _mean_error(block)
    if not (block.roundings or block.biases) or not before > 0:
        return 0.0
    steps = _Steps(block, np.random.default_rng(seed))
    for step in range(steps.count):
        share = step / steps.count
        first, last = DECIDING_STEPS
        for rounding in block.roundings.values():
            rounding.settle(min(max((share - first) / (last - first), 0.0), 1.0))
        steps.take(before, share)
    for rounding in block.roundings.values():
        rounding.settle(1.0)
    gain = SquaredError(signal=before, noise=_mean_error(block)).sqnr_db
    return -math.inf if math.isnan(gain) else gain


class _Steps:
    """Gradient steps of one block."""

    def __init__(self, block: QuantizedBlock, rng: np.random.Generator) -> None:
        self.block, self.rng = block, rng
        entry = block.entry(0)[0]
        with torch.no_grad():
            values = block.float_outputs(entry)
        exit_shape = values[block.block.exit].shape
        self.window = crop_of(block.block, block.run.graph, entry.shape, exit_shape)
        groups = [{"params": [r.v], "lr": RATES["v"]} for r in block.roundings.values()]
        groups += [{"params": [r.e], "lr": RATES["e"]} for r in block.roundings.values()]
        outputs = {str(n.name): values[str(n.outputs[0].name)] for n in block.block.nodes}
        for name, bias in block.biases.items():
            deviation = float(outputs[name].std(correction=0))
            groups.append({"params": [bias], "lr": RATES["bias"] * deviation})
        self.adam = torch.optim.Adam(groups)
        self.rates = [float(g["lr"]) for g in self.adam.param_groups]
        self.together = max(1, min(BATCH // len(entry), MAX_RUNS))
        self.order: list[int] = []
        self.count = self._affordable(entry)

    def _affordable(self, entry: Tensor) -> int:
        """Return how many steps the block may take."""
        with torch.no_grad():
            window = self.window.cut((entry,), self.rng)[0] if self.window is not None else entry
            macs_of_step = PASSES * self.block.macs(window) * self.together
        return max(MIN_STEPS, min(MAX_STEPS, int(MAX_MACS / max(macs_of_step, 1))))

    def take(self, unit: float, share: float) -> None:
        """Take one step, when a share of them has been taken; errors are in units of `unit`."""
        pace = 0.525 + 0.475 * math.cos(math.pi * share)  # cosine, down to a twentieth
        for group, rate in zip(self.adam.param_groups, self.rates, strict=True):
            group["lr"] = rate * pace
        self.adam.zero_grad()
        for _ in range(self.together):
            if not self.order:
                self.order = self.rng.permutation(len(self.block.run.chunks())).tolist()
            _accumulate(self._error(self.order.pop()) / (unit * self.together))
        roundings = self.block.roundings.values()
        if roundings:
            total = sum(r.v.numel() for r in roundings)
            undecided = torch.stack([r.undecided() for r in roundings]).sum()
            _accumulate(share * MAX_REGULARIZATION / total * undecided)
        self.adam.step()
        for rounding in roundings:
            rounding.hold()

    def _error(self, chunk: int) -> Tensor:
        """Return the mean squared error of some samples behind a mixed entry."""
        exact, quantized = self.block.entry(chunk)
        if self.window is not None:
            exact, quantized = self.window.cut((exact, quantized), self.rng)
        draws = torch.from_numpy(self.rng.random(quantized.shape, np.float32))
        mixed = torch.where((draws < QUANTIZED_SHARE).to(quantized.device), quantized, exact)
        with torch.no_grad():
            reference = self.block.float_output(exact)
        return torch.mean((self.block.quantized_output(mixed) - reference) ** 2)


def _accumulate(loss: Tensor) -> None:
    torch.autograd.backward([loss])


def _mean_error(block: QuantizedBlock) -> float:
    """Return the mean squared error of the first samples behind the quantized network's entry."""
    errors = []
    with torch.no_grad():
        for chunk in block.run.chunks():
            exact, quantized = block.entry(chunk)
            off = block.quantized_output(quantized) - block.float_output(exact)
            errors.append(float(torch.mean(off**2)))
            if len(quantized) * len(errors) >= JUDGED_SAMPLES:
                break
    return float(np.mean(errors))

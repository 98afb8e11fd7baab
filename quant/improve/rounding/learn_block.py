"""Learn a block: its roundings, scales and biases, by gradients of the error at its output.

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
    """Tell whether a node may run on a window: no constant of it, beside weights, is a map."""
    if node.op_type not in LOCAL or node.attributes.get_int("axis", 1) != 1:
        return False
    if weight_of(node) is not None:
        return True
    constants = [
        graph.array(str(v.name)) for v in node.inputs if v is not None and v.is_initializer()
    ]
    return all(np.prod(c.shape[-2:]) == 1 for c in constants)


Tensor = torch.Tensor


STEPS, FEWEST = 40, 12
"""Gradient steps of a block at most and at least."""


BATCH = 8
"""Samples of a step."""


RUNS = 2
"""Runs that make up a step where the graph has a batch size of its own, at most."""


WORK = 2.0e11
"""Multiply-accumulates that the steps of a block may take: some ten seconds on two cores."""


PASSES = 4
"""How often a step does a block's work: in float, on grids, and twice as much for the gradients."""


KEPT = 0.5
"""Of the elements of the entry that are the quantized network's (QDrop)."""


RATES = {"v": 0.05, "e": 1e-3, "bias": 1e-3}
"""Adam's: of the rounding variables, logarithms of scales, and biases in units of the standard
deviation of their layer's output."""


REGULAR = 0.2
"""r above, at the last step; it grows from 0."""


SETTLES = 0.6, 0.95
"""Shares of the steps at which the first roundings are decided and the last ones."""


JUDGED = 32
"""Samples on which a block is judged before and after."""


def learn_block(twin: QuantizedBlock, seed: int) -> float:
    """Learn what a twin has to learn; return how many dB nearer to float its output is.

    The roundings, scales and biases of the twin are what was learned; under 0 dB they are not to be
    used. Measured is the squared error behind the quantized network's entry, all roundings decided,
    on the first 32 samples.

    Args:
        twin: Standing before its block.
        seed: Of the order of samples, the windows and the mix.
    """
    before = _error(twin)
    if not (twin.roundings or twin.biases) or not before > 0:
        return 0.0
    rng = np.random.default_rng(seed)
    steps = _Steps(twin, rng)
    for step in range(steps.count):
        share = step / steps.count
        begun = (share - SETTLES[0]) / (SETTLES[1] - SETTLES[0])
        for rounding in twin.roundings.values():
            rounding.settle(min(max(begun, 0.0), 1.0))
        steps.take(before, share)
    for rounding in twin.roundings.values():
        rounding.settle(1.0)
    gain = SquaredError(signal=before, noise=_error(twin)).sqnr_db
    return -math.inf if math.isnan(gain) else gain


class _Steps:
    """Gradient steps of one block."""

    def __init__(self, twin: QuantizedBlock, rng: np.random.Generator) -> None:
        self.twin, self.rng = twin, rng
        deviations: dict[str, float] = {}
        entry = twin.entry(0)[0]
        with torch.no_grad():
            out = twin.plain(entry, deviations)
        self.window = crop_of(twin.block, twin.walk.graph, entry.shape, out.shape)
        groups = [{"params": [r.v], "lr": RATES["v"]} for r in twin.roundings.values()]
        groups += [{"params": [r.e], "lr": RATES["e"]} for r in twin.roundings.values()]
        for name, bias in twin.biases.items():
            groups.append({"params": [bias], "lr": RATES["bias"] * deviations[name]})
        self.adam = torch.optim.Adam(groups)
        self.rates = [float(g["lr"]) for g in self.adam.param_groups]
        self.together = max(1, min(BATCH // len(entry), RUNS))
        self.order: list[int] = []
        self.count = self._affordable(twin, entry)

    def _affordable(self, twin: QuantizedBlock, entry: Tensor) -> int:
        with torch.no_grad():
            tried = self.window.cut((entry,), self.rng)[0] if self.window is not None else entry
            each = PASSES * twin.macs(tried) * self.together
        return max(FEWEST, min(STEPS, int(WORK / max(each, 1))))

    def take(self, unit: float, share: float) -> None:
        """Take one step, when a share of them has been taken."""
        pace = 0.525 + 0.475 * math.cos(math.pi * share)  # cosine, down to a twentieth
        for group, rate in zip(self.adam.param_groups, self.rates, strict=True):
            group["lr"] = rate * pace
        self.adam.zero_grad()
        for _ in range(self.together):
            if not self.order:
                self.order = self.rng.permutation(len(self.twin.walk.chunks())).tolist()
            _accumulate(self._error(self.order.pop()) / (unit * self.together))
        roundings = self.twin.roundings.values()
        if roundings:
            total = sum(r.v.numel() for r in roundings)
            undecided = torch.stack([r.undecided() for r in roundings]).sum()
            _accumulate(share * REGULAR / total * undecided)
        self.adam.step()
        for rounding in roundings:
            rounding.hold()

    def _error(self, chunk: int) -> Tensor:
        """Return the mean squared error of some samples behind a mixed entry."""
        plain, seen = self.twin.entry(chunk)
        if self.window is not None:
            plain, seen = self.window.cut((plain, seen), self.rng)
        kept = torch.from_numpy(self.rng.random(seen.shape, np.float32) < KEPT).to(seen.device)
        with torch.no_grad():
            wanted = self.twin.plain(plain)
        made = self.twin.seen(torch.where(kept, seen, plain))
        return torch.mean((made - wanted) ** 2)


def _accumulate(loss: Tensor) -> None:
    torch.autograd.backward([loss])


def _error(twin: QuantizedBlock) -> float:
    """Return the mean squared error of the first samples behind the quantized network's entry."""
    found = []
    with torch.no_grad():
        for chunk in twin.walk.chunks():
            plain, seen = twin.entry(chunk)
            found.append(float(torch.mean((twin.seen(seen) - twin.plain(plain)) ** 2)))
            if len(seen) * len(found) >= JUDGED:
                break
    return float(np.mean(found))

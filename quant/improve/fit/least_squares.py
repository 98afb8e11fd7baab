"""A layer's integers and bias, fitted to what reaches the layer by least squares.

For each layer in turn, with everything before it already quantized: let X be the rows that its
weights see (a window of the quantized input), Y what the float network has in their place. Then

    W*, b*  =  argmin  |X W + b - Y|^2 + r |W - W0|^2               (ridge; r relative to X's power)
    q       =  rounding of W*, one input after the other; the error that each rounding makes is
               spread over the inputs that are not yet rounded, by the Cholesky factor of (X'X)^-1
    b       =  mean(Y - X q)

A layer without a bias (a MatMul that no Add of a constant follows) has b = 0, and then X and Y are
not centred: weights that were fitted beside a free b would shift its mean.

The rounding is that of Frantar et al. 2022, "GPTQ" (equations 2 and 3), an exact form of Hassibi
and Stork's surgeon; fitting to the float network's Y instead of to X W is Li et al. 2025, "GPTAQ"
(asymmetric calibration). The last line is the empirical bias correction of Nagel et al. 2019, "Data-
Free Quantization", appendix D, done in sequence.
"""

__all__ = [
    "FittedLayer",
    "Rows",
    "WeightGrid",
    "descended",
    "fit_layer",
    "rounded",
    "rows_of",
    "solved",
]

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from torch.nn import functional

from quant.graph.layers import data_input
from quant.improve.fit.layerwise_run import LayerwiseRun

Tensor = torch.Tensor

RIDGES = (0.03, 0.3, 3.0)
"""Ridges in units of the mean power of an input: what is worth learning from some thousand rows. Ours, measured."""

ROUNDING_RIDGE = 0.1
"""The same, for the rounding: with less, errors are spread over directions that few rows decide."""

FEW_ROWS_FACTOR = 10.0
"""How much ROUNDING_RIDGE grows with inputs / rows: what few rows seem to correlate is mostly chance."""

DESCENTS = 2
"""Rounds over all inputs; a third moves next to nothing."""

COLUMNS_AT_ONCE = 64
"""Inputs that are rounded before their errors are spread over all that follow."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What the weights of a layer see, and what they should make of it.

    Attributes:
        x: `[G, R, K]`: for each group of a convolution R rows of its K inputs, quantized.
        y: `[G, R, M]`: the float network's numbers at the same places.
    """

    x: Tensor
    y: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightGrid:
    """The integers that a layer's weights may become, and the scales that are tried.

    Attributes:
        scale: float32 `[G, M]`, of the plan.
        least_scale: float32 `[G, M]`; no smaller scale is taken.
        limits: The least and the greatest integer.
        factors: On `scale`, tried for each output channel; the first is 1.
    """

    scale: Tensor
    least_scale: Tensor
    limits: tuple[int, int]
    factors: Sequence[float] = (1.0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedLayer:
    """The fitted integers of a layer.

    Attributes:
        integers: float64 `[G, M, K]`.
        scale: float32 `[G, M]`.
        bias_change: float64 `[G, M]`, what is to be added to the bias.
    """

    integers: Tensor
    scale: Tensor
    bias_change: Tensor


def _windows(x: Tensor, node: ir.Node, kernel: Sequence[int], places: Tensor) -> Tensor:
    """Return `[G, N * P, C / G * taps]`: what a convolution sees at P output positions.

    Args:
        x: `[N, C, H, W]`.
        node: Conv with two spatial axes.
        kernel: Its size.
        places: int64 `[P, 2]`, output positions.
    """
    attributes = node.attributes
    pads = list(attributes.get_ints("pads", [0, 0, 0, 0]))
    strides = list(attributes.get_ints("strides", [1, 1]))
    dilations = list(attributes.get_ints("dilations", [1, 1]))
    groups = attributes.get_int("group", 1)
    x = functional.pad(x, [pads[1], pads[3], pads[0], pads[2]])
    rows, columns = (
        (places[:, i] * strides[i])[:, None] + (torch.arange(kernel[i]) * dilations[i])[None]
        for i in range(2)
    )
    windows = x[:, :, rows[:, :, None], columns[:, None, :]]  # [N, C, P, kh, kw]
    n, c, p = windows.shape[:3]
    windows = windows.reshape(n, groups, c // groups, p, -1)
    return windows.permute(1, 0, 3, 2, 4).reshape(groups, n * p, -1)


def _positions(height: int, width: int, count: int, seed: int) -> Tensor:
    """Return int64 `[P, 2]`: all positions of a map, or `count` of them, seeded, in order."""
    if height * width <= count:
        chosen = torch.arange(height * width)
    else:
        order = np.random.default_rng(seed).permutation(height * width)[:count]
        chosen = torch.from_numpy(np.sort(order))
    return torch.stack([chosen // width, chosen % width], dim=1)


def rows_of(run: LayerwiseRun, node: ir.Node, count: int, seed: int) -> Rows:
    """Return some rows of a layer from all samples.

    Args:
        run: Standing before the node.
        node: Conv with two spatial axes, Gemm or MatMul with a constant weight.
        count: Rows to aim at.
        seed: Decides the positions.
    """
    weight = run.constant(data_input(node, 1))
    by_chunk = _map_rows if node.op_type == "Conv" else _matrix_rows
    per_sample = max(1, count // run.samples)
    parts = []
    for chunk in run.chunks():
        quantized, exact = (run.read(node, 0, quantized=q, chunk=chunk) for q in (True, False))
        parts.append(by_chunk(node, weight, Rows(quantized, exact), per_sample, seed))
    return Rows(torch.cat([r.x for r in parts], dim=1), torch.cat([r.y for r in parts], dim=1))


def _map_rows(node: ir.Node, weight: Tensor, inputs: Rows, per_sample: int, seed: int) -> Rows:
    """Return a Conv's rows from its input in the quantized (x) and the float network (y)."""
    kernel = weight.shape[2:]
    places = _positions(*_output_size(node, inputs.x.shape[2:], kernel), per_sample, seed)
    groups = node.attributes.get_int("group", 1)
    matrix = weight.reshape(groups, weight.shape[0] // groups, -1).transpose(1, 2)
    x, y = (_windows(maps, node, kernel, places) for maps in (inputs.x, inputs.y))
    return Rows(x, y @ matrix)


def _matrix_rows(node: ir.Node, weight: Tensor, inputs: Rows, per_sample: int, seed: int) -> Rows:
    """Return the rows of a Gemm or MatMul, at even distances."""
    matrix = weight.T if node.attributes.get_int("transB", 0) else weight
    rows = inputs.y[..., 0].numel()
    keep = slice(None, None, max(1, rows // (per_sample * len(inputs.y))))
    x, y = (v.reshape(-1, v.shape[-1])[keep] for v in (inputs.x, inputs.y))
    return Rows(x[None], (y @ matrix)[None])


def _output_size(node: ir.Node, size: Sequence[int], kernel: Sequence[int]) -> tuple[int, int]:
    """Return height and width of a convolution's output."""
    pads = list(node.attributes.get_ints("pads", [0, 0, 0, 0]))
    strides = list(node.attributes.get_ints("strides", [1, 1]))
    dilations = list(node.attributes.get_ints("dilations", [1, 1]))
    height, width = (
        (size[i] + pads[i] + pads[i + 2] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i in range(2)
    )
    return height, width


def solved(
    rows: Rows, weight: Tensor, *, biased: bool = True
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return W* `[G, M, K]`, a damped X'X `[G, K, K]`, and the means of x and y, float64.

    The ridge is the one of RIDGES that does best on the last quarter of the rows, which the others
    were fitted without; where none of them beats W0, W* is W0. Without a bias the means are 0.
    """
    x, y, w = rows.x.double(), rows.y.double(), weight.double()
    cut = max(1, x.shape[1] * 3 // 4)
    ridge = _ridge(Rows(x[:, :cut], y[:, :cut]), Rows(x[:, cut:], y[:, cut:]), w, biased)
    mean_x, mean_y = _mean(x, biased), _mean(y, biased)
    x, y = x - mean_x, y - mean_y
    hessian = x.transpose(1, 2) @ x
    if ridge is not None:
        w = w + _shift(hessian, x, y, w, ridge)
    damp = ROUNDING_RIDGE * (1 + FEW_ROWS_FACTOR * x.shape[2] / x.shape[1])
    return w, _damped(hessian, damp), mean_x[:, 0], mean_y[:, 0]


def _mean(x: Tensor, biased: bool) -> Tensor:
    """Return `[G, 1, C]`: what a bias can take back, nothing where there is none."""
    mean = x.mean(1, keepdim=True)
    return mean if biased else torch.zeros_like(mean)


def _ridge(fit: Rows, judged: Rows, w: Tensor, biased: bool) -> float | None:
    """Return the ridge that serves unseen rows best, None for no change of the weights."""
    mean_x, mean_y = _mean(fit.x, biased), _mean(fit.y, biased)
    x, y, x1, y1 = fit.x - mean_x, fit.y - mean_y, judged.x - mean_x, judged.y - mean_y
    if not x1.shape[1]:
        return None
    hessian = x.transpose(1, 2) @ x
    best: float | None = None
    least = float(((y1 - x1 @ w.transpose(1, 2)) ** 2).sum())
    for ridge in RIDGES:
        tried = w + _shift(hessian, x, y, w, ridge)
        error = float(((y1 - x1 @ tried.transpose(1, 2)) ** 2).sum())
        if error < least:
            best, least = ridge, error
    return best


def _shift(hessian: Tensor, x: Tensor, y: Tensor, w: Tensor, ridge: float) -> Tensor:
    """Return W* - W0."""
    left = x.transpose(1, 2) @ (y - x @ w.transpose(1, 2))
    return torch.cholesky_solve(left, torch.linalg.cholesky(_damped(hessian, ridge))).transpose(
        1, 2
    )


def _damped(hessian: Tensor, ridge: float) -> Tensor:
    power = torch.diagonal(hessian, dim1=1, dim2=2).mean(1).clamp_min(1e-30)
    unit = torch.eye(hessian.shape[1], dtype=torch.float64)
    return hessian + (ridge * power)[:, None, None] * unit


def rounded(w: Tensor, hessian: Tensor, scale: Tensor, limits: tuple[int, int]) -> Tensor:
    """Return integers `[G, M, K]` for weights, rounded one input after the other.

    Args:
        w: float64 `[G, M, K]`.
        hessian: `[G, K, K]`, positive definite.
        scale: `[G, M]`.
        limits: The least and the greatest integer.
    """
    groups, _, k = w.shape
    order = torch.argsort(
        torch.diagonal(hessian, dim1=1, dim2=2), dim=1, descending=True, stable=True
    )
    w = torch.gather(w, 2, order[:, None, :].expand_as(w)).clone()
    sorted_hessian = torch.stack([hessian[g][order[g]][:, order[g]] for g in range(groups)])
    factor = torch.linalg.cholesky(
        torch.cholesky_inverse(torch.linalg.cholesky(sorted_hessian)), upper=True
    )
    integers = torch.empty_like(w)
    for first in range(0, k, COLUMNS_AT_ONCE):
        last = min(first + COLUMNS_AT_ONCE, k)
        errors = torch.zeros_like(w[:, :, first:last])
        for i in range(first, last):
            q = torch.clamp(torch.round(w[:, :, i] / scale), *limits)
            integers[:, :, i] = q
            error = (w[:, :, i] - q * scale) / factor[:, None, i, i]
            w[:, :, i:last] -= error[:, :, None] * factor[:, None, i, i:last]
            errors[:, :, i - first] = error
        w[:, :, last:] -= errors @ factor[:, first:last, last:]
    return torch.empty_like(integers).scatter_(2, order[:, None, :].expand_as(integers), integers)


def descended(
    w: Tensor, q: Tensor, hessian: Tensor, scale: Tensor, limits: tuple[int, int]
) -> Tensor:
    """Return integers with no greater error: each in turn becomes the best one beside the others.

    Coordinate descent on (w - s q)' H (w - s q): what rounding in one order could not see.
    """
    q = q.clone()
    rest = (w - q * scale[..., None]) @ hessian
    for _ in range(DESCENTS):
        for k in range(w.shape[2]):
            move = rest[:, :, k] / hessian[:, None, k, k] / scale
            better = torch.clamp(torch.round(q[:, :, k] + move), *limits)
            step = (better - q[:, :, k]) * scale
            rest -= step[..., None] * hessian[:, None, k]
            q[:, :, k] = better
    return q


def fit_layer(rows: Rows, weight: Tensor, grid: WeightGrid, *, biased: bool = True) -> FittedLayer:
    """Return the integers of a layer with which its output is nearest to the float network's.

    Each output channel takes the scale, of the grid's scale times one of the factors, with which its
    rounded weights have the least error (W* - q)' H (W* - q).

    Args:
        rows: What the layer sees, and what it should make of it.
        weight: The float weight, `[G, M, K]`.
        grid: Integers and scales.
        biased: Whether `bias_change` will be added to a bias.
    """
    better, hessian, mean_x, mean_y = solved(rows, weight, biased=biased)
    groups, count, _ = better.shape
    tries = len(grid.factors)
    # in float32, as the plan will hold it; the first factor is 1, and the least scale is below it
    tried = [torch.maximum(grid.scale * f, grid.least_scale) for f in grid.factors]
    scales = torch.cat(tried, dim=1).double()
    repeated = better.repeat(1, tries, 1)
    q = rounded(repeated, hessian, scales, grid.limits)
    off = repeated - q * scales[:, :, None]
    error = ((off @ hessian) * off).sum(2).reshape(groups, tries, count)
    best = error.argmin(1, keepdim=True)
    q = torch.gather(
        q.reshape(groups, tries, count, -1),
        1,
        best[..., None].expand(-1, -1, -1, q.shape[2]),
    )[:, 0]
    scale = torch.gather(scales.reshape(groups, tries, count), 1, best)[:, 0].float()
    q = descended(better, q, hessian, scale.double(), grid.limits)
    on_grid = q * scale.double()[:, :, None]
    change = mean_y - (on_grid @ mean_x[:, :, None])[:, :, 0]
    return FittedLayer(integers=q, scale=scale, bias_change=change)

"""Fit: a layer's integers and bias, found from what reaches the layer, by least squares.

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

__all__ = ["Rows", "descended", "fit_layer", "rounded", "rows_of", "solved"]

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from torch.nn import functional

from quant.improve.fit.layerwise_run import LayerwiseRun

Tensor = torch.Tensor

RIDGES = (0.03, 0.3, 3.0)
"""Of the mean power of an input: what is worth learning from some thousand rows. Ours, measured."""

DAMP = 0.1
"""The same, for the rounding: with less, errors are spread over directions that few rows decide."""


DESCENTS = 2
"""Rounds over all inputs; a third moves next to nothing."""

FEW = 10.0
"""How much DAMP grows with inputs / rows: what few rows seem to correlate is mostly chance."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What the weights of a layer see, and what they should make of it.

    Attributes:
        x: `[G, R, K]`: for each group of a convolution R rows of its K inputs, quantized.
        y: `[G, R, M]`: the float network's numbers at the same places.
    """

    x: Tensor
    y: Tensor


def _windows(x: Tensor, node: ir.Node, kernel: Sequence[int], where: Tensor) -> Tensor:
    """Return `[G, N * P, C / G * taps]`: what a convolution sees at P output positions.

    Args:
        x: `[N, C, H, W]`.
        node: Conv with two spatial axes.
        kernel: Its size.
        where: int64 `[P, 2]`, output positions.
    """
    attributes = node.attributes
    pads = list(attributes.get_ints("pads", [0, 0, 0, 0]))
    strides = list(attributes.get_ints("strides", [1, 1]))
    steps = list(attributes.get_ints("dilations", [1, 1]))
    groups = attributes.get_int("group", 1)
    x = functional.pad(x, [pads[1], pads[3], pads[0], pads[2]])
    down = (where[:, 0] * strides[0])[:, None, None] + (torch.arange(kernel[0]) * steps[0])[
        None, :, None
    ]
    across = (where[:, 1] * strides[1])[:, None, None] + (torch.arange(kernel[1]) * steps[1])[
        None, None, :
    ]
    taken = x[:, :, down, across]  # [N, C, P, kh, kw]
    n, c, p = taken.shape[:3]
    taken = taken.reshape(n, groups, c // groups, p, -1)
    return taken.permute(1, 0, 3, 2, 4).reshape(groups, n * p, -1)


def _positions(height: int, width: int, wanted: int, seed: int) -> Tensor:
    """Return int64 `[P, 2]`: all positions of a map, or `wanted` of them, seeded, in order."""
    if height * width <= wanted:
        chosen = torch.arange(height * width)
    else:
        order = np.random.default_rng(seed).permutation(height * width)[:wanted]
        chosen = torch.from_numpy(np.sort(order))
    return torch.stack([chosen // width, chosen % width], dim=1)


def rows_of(walk: LayerwiseRun, node: ir.Node, most: int, seed: int) -> Rows:
    """Return some rows of a layer from all samples.

    Args:
        walk: Standing before the node.
        node: Conv with two spatial axes, Gemm or MatMul with a constant weight.
        most: Rows to aim at.
        seed: Of the positions.
    """
    weight = walk.constant(node.inputs[1])  # type: ignore[arg-type]
    xs: list[Tensor] = []
    ys: list[Tensor] = []
    per = max(1, most // walk.samples)
    where: Tensor | None = None
    for chunk in walk.chunks():
        seen = walk.read(node, 0, quantized=True, chunk=chunk)
        plain = walk.read(node, 0, quantized=False, chunk=chunk)
        assert seen is not None
        assert plain is not None
        if node.op_type == "Conv":
            if where is None:
                height, width = _size(node, seen.shape[2:], weight.shape[2:])
                where = _positions(height, width, per, seed)
            groups = node.attributes.get_int("group", 1)
            flat = weight.reshape(groups, weight.shape[0] // groups, -1)
            xs.append(_windows(seen, node, weight.shape[2:], where))
            ys.append(_windows(plain, node, weight.shape[2:], where) @ flat.transpose(1, 2))
        else:
            matrix = weight.T if node.attributes.get_int("transB", 0) else weight
            keep = slice(None, None, max(1, plain[..., 0].numel() // (per * len(plain)) or 1))
            xs.append(seen.reshape(-1, seen.shape[-1])[keep][None])
            ys.append((plain.reshape(-1, plain.shape[-1])[keep] @ matrix)[None])
    return Rows(torch.cat(xs, dim=1), torch.cat(ys, dim=1))


def _size(node: ir.Node, size: Sequence[int], kernel: Sequence[int]) -> tuple[int, int]:
    pads = list(node.attributes.get_ints("pads", [0, 0, 0, 0]))
    strides = list(node.attributes.get_ints("strides", [1, 1]))
    steps = list(node.attributes.get_ints("dilations", [1, 1]))
    found = [
        (size[i] + pads[i] + pads[i + 2] - steps[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i in range(2)
    ]
    return found[0], found[1]


def solved(
    rows: Rows, flat: Tensor, *, biased: bool = True
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return W* `[G, M, K]`, a damped X'X `[G, K, K]`, and the means of x and y, float64.

    The ridge is the one of RIDGES that does best on the last quarter of the rows, which the others
    were fitted without; where none of them beats W0, W* is W0. Without a bias the means are 0.
    """
    x, y, w = rows.x.double(), rows.y.double(), flat.double()
    cut = max(1, x.shape[1] * 3 // 4)
    ridge = _ridge(x[:, :cut], y[:, :cut], x[:, cut:], y[:, cut:], w, biased)
    mean_x, mean_y = _mean(x, biased), _mean(y, biased)
    x, y = x - mean_x, y - mean_y
    hessian = x.transpose(1, 2) @ x
    if ridge is not None:
        w = w + _shift(hessian, x, y, w, ridge)
    damp = DAMP * (1 + FEW * x.shape[2] / x.shape[1])
    return w, _damped(hessian, damp), mean_x[:, 0], mean_y[:, 0]


def _mean(x: Tensor, biased: bool) -> Tensor:
    """Return `[G, 1, C]`: what a bias can take back, nothing where there is none."""
    mean = x.mean(1, keepdim=True)
    return mean if biased else torch.zeros_like(mean)


def _ridge(x: Tensor, y: Tensor, x1: Tensor, y1: Tensor, w: Tensor, biased: bool) -> float | None:
    """Return the ridge that serves unseen rows best, None for no change of the weights."""
    middle, level = _mean(x, biased), _mean(y, biased)
    x, y, x1, y1 = x - middle, y - level, x1 - middle, y1 - level
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


def rounded(w: Tensor, hessian: Tensor, scale: Tensor, qmin: int, qmax: int) -> Tensor:
    """Return integers `[G, M, K]` for weights, rounded one input after the other.

    Args:
        w: float64 `[G, M, K]`.
        hessian: `[G, K, K]`, positive definite.
        scale: `[G, M]`.
        qmin: Least integer.
        qmax: Greatest integer.
    """
    groups, _, k = w.shape
    order = torch.argsort(
        torch.diagonal(hessian, dim1=1, dim2=2), dim=1, descending=True, stable=True
    )
    w = torch.gather(w, 2, order[:, None, :].expand_as(w)).clone()
    turned = torch.stack([hessian[g][order[g]][:, order[g]] for g in range(groups)])
    factor = torch.linalg.cholesky(
        torch.cholesky_inverse(torch.linalg.cholesky(turned)), upper=True
    )
    made = torch.empty_like(w)
    step = 64
    for first in range(0, k, step):
        last = min(first + step, k)
        errors = torch.zeros_like(w[:, :, first:last])
        for i in range(first, last):
            q = torch.clamp(torch.round(w[:, :, i] / scale), qmin, qmax)
            made[:, :, i] = q
            error = (w[:, :, i] - q * scale) / factor[:, None, i, i]
            w[:, :, i:last] -= error[:, :, None] * factor[:, None, i, i:last]
            errors[:, :, i - first] = error
        w[:, :, last:] -= errors @ factor[:, first:last, last:]
    return torch.empty_like(made).scatter_(2, order[:, None, :].expand_as(made), made)


def descended(w: Tensor, q: Tensor, hessian: Tensor, scale: Tensor, qmin: int, qmax: int) -> Tensor:
    """Return integers with no greater error: each in turn becomes the best one beside the others.

    Coordinate descent on (w - s q)' H (w - s q): what rounding in one order could not see.
    """
    q = q.clone()
    rest = (w - q * scale[..., None]) @ hessian
    for _ in range(DESCENTS):
        for k in range(w.shape[2]):
            move = rest[:, :, k] / hessian[:, None, k, k] / scale
            better = torch.clamp(torch.round(q[:, :, k] + move), qmin, qmax)
            step = (better - q[:, :, k]) * scale
            rest -= step[..., None] * hessian[:, None, k]
            q[:, :, k] = better
    return q


def fit_layer(
    rows: Rows,
    flat: Tensor,
    scale: Tensor,
    least: Tensor,
    qmin: int,
    qmax: int,
    factors: Sequence[float],
    *,
    biased: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return integers `[G, M, K]`, their scale `[G, M]`, and what the bias is short of `[G, M]`.

    Each output channel takes the scale, of `scale` times one of the factors and not under `least`
    (both float32 `[G, M]`), with which its rounded weights have the least error
    (W* - q)' H (W* - q). `biased` says whether what the bias is short of will be added to one.
    """
    better, hessian, mean_x, mean_y = solved(rows, flat, biased=biased)
    groups, count, _ = better.shape
    # in float32, as the plan will hold it; the first factor is 1, and least is below it
    tried = torch.cat([torch.maximum(scale * f, least) for f in factors], dim=1).double()
    many = better.repeat(1, len(factors), 1)
    q = rounded(many, hessian, tried, qmin, qmax)
    off = many - q * tried[:, :, None]
    error = ((off @ hessian) * off).sum(2).reshape(groups, len(factors), count)
    best = error.argmin(1, keepdim=True)
    q = torch.gather(
        q.reshape(groups, len(factors), count, -1),
        1,
        best[..., None].expand(-1, -1, -1, q.shape[2]),
    )[:, 0]
    kept = torch.gather(tried.reshape(groups, len(factors), count), 1, best)[:, 0].float()
    q = descended(better, q, hessian, kept.double(), qmin, qmax)
    made = q * kept.double()[:, :, None]
    return q, kept, mean_y - (made @ mean_x[:, :, None])[:, :, 0]

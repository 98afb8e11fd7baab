"""Builders of transformers as exporters write them: attention, LayerNorm and GELU in each spelling."""

__all__ = ["SPELLINGS", "hybrid", "ocr", "swin", "vit"]

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tests.models import model

SPELLINGS = ("operators", "chains")
"""LayerNormalization and Gelu as one operator each, or as the chains of older exporters."""

OUTLIERS = 30.0
"""What a channel behind a LayerNorm is larger than the others by, as in Xiao et al. 2023, figure 4."""


class Writer:
    """Lines of onnx's text format and the constants they read, weights drawn from one seed."""

    def __init__(self, seed: int, spelling: str, outliers: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.spelling, self.outliers = spelling, outliers
        self.lines: list[str] = []
        self.held: dict[str, NDArray[Any]] = {}

    def const(self, name: str, array: Any, kind: Any = np.float32) -> str:
        self.held[name] = np.asarray(array, kind)
        return name

    def op(self, out: str, call: str) -> str:
        """Add the node `out`, named after what it makes."""
        self.lines.append(f"[node_{out}] {out} = {call}")
        return out

    def net(self, inputs: str, outputs: str) -> onnx.ModelProto:
        body = "\n".join(self.lines)
        opset = 20 if self.spelling == "operators" else 18  # Gelu is an operator since 20
        text = f'<opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}'
        return model(text, self.held, ir_version=9)

    def conv(self, x: str, out: str, shape: Sequence[int], stride: int = 1, pad: int = 0) -> str:
        w = self.const(f"{out}_w", self.rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape))
        b = self.const(f"{out}_b", self.rng.normal(0, 0.1, shape[0]))
        told = f"strides=[{stride},{stride}], pads=[{pad},{pad},{pad},{pad}]"
        return self.op(out, f"Conv<{told}>({x}, {w}, {b})")

    def linear(self, x: str, out: str, rows: int, columns: int, *, small: Any = None) -> str:
        """MatMul and Add; `small` are channels of x that the weight reads with 1 / OUTLIERS."""
        array = self.rng.normal(0, 1 / np.sqrt(rows), (rows, columns))
        if small is not None:
            array[small] /= OUTLIERS
        w = self.const(f"{out}_w", array)
        b = self.const(f"{out}_b", self.rng.normal(0, 0.1, columns))
        return self.op(out, f"Add({self.op(f'{out}_mm', f'MatMul({x}, {w})')}, {b})")

    def norm(self, x: str, out: str, dim: int) -> tuple[str, NDArray[np.int64]]:
        """Return what is normalized, and which of its channels are large."""
        gain = self.rng.uniform(0.8, 1.2, dim)
        large = self.rng.choice(dim, self.outliers, replace=False)
        gain[large] *= OUTLIERS
        g = self.const(f"{out}_gain", gain)
        b = self.const(f"{out}_shift", self.rng.normal(0, 0.1, dim))
        if self.spelling == "operators":
            return self.op(out, f"LayerNormalization<axis=-1, epsilon=1e-6>({x}, {g}, {b})"), large
        two, eps = self.const("two", 2), self.const("epsilon", 1e-6)
        axes = self.const("last", [-1], np.int64)
        mean = self.op(f"{out}_mean", f"ReduceMean<keepdims=1>({x}, {axes})")
        off = self.op(f"{out}_off", f"Sub({x}, {mean})")
        square = self.op(f"{out}_square", f"Pow({off}, {two})")
        var = self.op(f"{out}_var", f"ReduceMean<keepdims=1>({square}, {axes})")
        root = self.op(f"{out}_root", f"Sqrt({self.op(f'{out}_eps', f'Add({var}, {eps})')})")
        unit = self.op(f"{out}_unit", f"Div({off}, {root})")
        return self.op(out, f"Add({self.op(f'{out}_scaled', f'Mul({unit}, {g})')}, {b})"), large

    def gelu(self, x: str, out: str) -> str:
        if self.spelling == "operators":
            return self.op(out, f"Gelu({x})")
        root, one, half = (
            self.const("root2", np.sqrt(2)),
            self.const("one", 1),
            self.const("half", 0.5),
        )
        erf = self.op(f"{out}_erf", f"Erf({self.op(f'{out}_div', f'Div({x}, {root})')})")
        both = self.op(f"{out}_both", f"Mul({x}, {self.op(f'{out}_plus', f'Add({erf}, {one})')})")
        return self.op(out, f"Mul({both}, {half})")

    def attention(
        self, x: str, out: str, dim: int, heads: int, large: Any, tokens: int, bias: str = ""
    ) -> str:
        """Self-attention of [B, T, C]: one product for q, k and v, or three, by the spelling."""
        each = dim // heads
        five = self.const(f"{out}_five", [0, tokens, 3, heads, each], np.int64)
        four = self.const(f"{out}_four", [0, tokens, heads, each], np.int64)
        if self.spelling == "operators":
            all_ = self.linear(x, f"{out}_qkv", dim, 3 * dim, small=large)
            turned = self.op(
                f"{out}_t",
                f"Transpose<perm=[2,0,3,1,4]>({self.op(f'{out}_r', f'Reshape({all_}, {five})')})",
            )
            parts = []
            for number, name in enumerate("qkv"):
                index = self.const(f"index{number}", number, np.int64)
                parts.append(self.op(f"{out}_{name}", f"Gather<axis=0>({turned}, {index})"))
            q, k, v = parts
            k = self.op(f"{out}_kt", f"Transpose<perm=[0,1,3,2]>({k})")
        else:
            parts = []
            for name, perm in (("q", "0,2,1,3"), ("k", "0,2,3,1"), ("v", "0,2,1,3")):
                made = self.linear(x, f"{out}_{name}l", dim, dim, small=large)
                seen = self.op(f"{out}_{name}r", f"Reshape({made}, {four})")
                parts.append(self.op(f"{out}_{name}", f"Transpose<perm=[{perm}]>({seen})"))
            q, k, v = parts
        scale = self.const(f"{out}_scale", 2 / np.sqrt(each))
        score = self.op(f"{out}_qk", f"MatMul({self.op(f'{out}_qs', f'Mul({q}, {scale})')}, {k})")
        if bias:
            score = self.op(f"{out}_biased", f"Add({score}, {bias})")
        share = self.op(f"{out}_softmax", f"Softmax<axis=-1>({score})")
        mixed = self.op(f"{out}_av", f"MatMul({share}, {v})")
        back = self.op(f"{out}_back", f"Transpose<perm=[0,2,1,3]>({mixed})")
        three = self.const(f"{out}_three", [0, tokens, dim], np.int64)
        return self.linear(self.op(f"{out}_flat", f"Reshape({back}, {three})"), out, dim, dim)

    def block(self, x: str, out: str, dim: int, heads: int, tokens: int) -> str:
        """Attention and MLP, each behind a LayerNorm and beside a residual Add."""
        normed, large = self.norm(x, f"{out}_ln1", dim)
        made = self.attention(normed, f"{out}_attn", dim, heads, large, tokens)
        return self.mlp(self.op(f"{out}_res1", f"Add({x}, {made})"), out, dim)

    def mlp(self, x: str, out: str, dim: int) -> str:
        normed, large = self.norm(x, f"{out}_ln2", dim)
        wide = self.gelu(
            self.linear(normed, f"{out}_fc1", dim, 4 * dim, small=large), f"{out}_gelu"
        )
        return self.op(f"{out}_res2", f"Add({x}, {self.linear(wide, f'{out}_fc2', 4 * dim, dim)})")


def vit(
    spelling: str = "operators", *, seed: int = 0, outliers: int = 2, blocks: int = 4, dim: int = 32
) -> onnx.ModelProto:
    """Return a ViT on `[N, 3, 16, 16]`: 16 patches and a class token, to 10 classes."""
    w = Writer(seed, spelling, outliers)
    patches = w.conv("input", "patch", (dim, 3, 4, 4), stride=4)
    three = w.const("three", [0, dim, -1], np.int64)
    tokens = w.op(
        "tokens", f"Transpose<perm=[0,2,1]>({w.op('flat', f'Reshape({patches}, {three})')})"
    )
    w.op("shape", f"Shape<start=0, end=1>({tokens})")
    w.op("wanted", f"Concat<axis=0>(shape, {w.const('token_shape', [1, dim], np.int64)})")
    w.op("class", f"Expand({w.const('class_token', w.rng.normal(0, 1, (1, 1, dim)))}, wanted)")
    w.op("joined", "Concat<axis=1>(class, tokens)")
    x = w.op("placed", f"Add(joined, {w.const('position', w.rng.normal(0, 0.5, (1, 17, dim)))})")
    for number in range(blocks):
        x = w.block(x, f"b{number}", dim, 4, 17)
    normed, _ = w.norm(x, "ln", dim)
    w.op("first", f"Gather<axis=1>({normed}, {w.const('zero', 0, np.int64)})")
    head = w.const("head_w", w.rng.normal(0, 1 / np.sqrt(dim), (10, dim)))
    w.op("output", f"Gemm<transB=1>(first, {head}, {w.const('head_b', np.zeros(10))})")
    return w.net("float[N,3,16,16] input", "float[N,10] output")


def swin(
    spelling: str = "operators", *, seed: int = 0, outliers: int = 2, dim: int = 32
) -> onnx.ModelProto:
    """Return two windowed blocks on `[N, 3, 16, 16]`, the second shifted, and a patch merging."""
    w = Writer(seed, spelling, outliers)
    side, window = 8, 4
    patches = w.conv("input", "patch", (dim, 3, 2, 2), stride=2)
    x = w.op("tokens", f"Transpose<perm=[0,2,3,1]>({patches})")
    split = w.const("split", [-1, 2, window, 2, window, dim], np.int64)
    rows = w.const("rows", [-1, window * window, dim], np.int64)
    back = w.const("back", [-1, 2, 2, window, window, dim], np.int64)
    whole = w.const("whole", [-1, side, side, dim], np.int64)
    bias = w.const("relative", w.rng.normal(0, 0.5, (1, 4, window**2, window**2)))
    for number in range(2):
        out = f"s{number}"
        normed, large = w.norm(x, f"{out}_ln1", dim)
        rolled = _rolled(w, normed, f"{out}_roll", window // 2, side) if number else normed
        w.op(f"{out}_six", f"Reshape({rolled}, {split})")
        w.op(f"{out}_near", f"Transpose<perm=[0,1,3,2,4,5]>({out}_six)")
        windows = w.op(f"{out}_windows", f"Reshape({out}_near, {rows})")
        made = w.attention(windows, f"{out}_attn", dim, 4, large, window**2, bias)
        w.op(f"{out}_apart", f"Reshape({made}, {back})")
        w.op(f"{out}_far", f"Transpose<perm=[0,1,3,2,4,5]>({out}_apart)")
        made = w.op(f"{out}_map", f"Reshape({out}_far, {whole})")
        if number:
            made = _rolled(w, made, f"{out}_unroll", side - window // 2, side)
        x = w.mlp(w.op(f"{out}_res1", f"Add({x}, {made})"), out, dim)
    parts = []
    for a in (0, 1):
        for b in (0, 1):
            start = w.const(f"start{a}{b}", [a, b], np.int64)
            end, axes = w.const("end", [side, side], np.int64), w.const("axes", [1, 2], np.int64)
            step = w.const("step", [2, 2], np.int64)
            parts.append(w.op(f"part{a}{b}", f"Slice({x}, {start}, {end}, {axes}, {step})"))
    normed, large = w.norm(
        w.op("merged", f"Concat<axis=3>({', '.join(parts)})"), "ln_merge", 4 * dim
    )
    merge = w.rng.normal(0, 1 / np.sqrt(4 * dim), (4 * dim, 2 * dim))
    merge[large] /= OUTLIERS
    w.op("reduced", f"MatMul({normed}, {w.const('merge_w', merge)})")
    last, _ = w.norm("reduced", "ln", 2 * dim)
    w.op("pooled", f"ReduceMean<keepdims=0>({last}, {w.const('places', [1, 2], np.int64)})")
    head = w.const("head_w", w.rng.normal(0, 1 / np.sqrt(2 * dim), (10, 2 * dim)))
    w.op("output", f"Gemm<transB=1>(pooled, {head}, {w.const('head_b', np.zeros(10))})")
    return w.net("float[N,3,16,16] input", "float[N,10] output")


def _rolled(w: Writer, x: str, out: str, by: int, side: int) -> str:
    """torch.roll by `by` along axes 1 and 2, as exporters write it."""
    cut, zero = w.const(f"{out}_cut", [by], np.int64), w.const("none", [0], np.int64)
    end = w.const(f"{out}_end", [side], np.int64)
    for axis in (1, 2):
        along = w.const(f"axis{axis}", [axis], np.int64)
        tail = w.op(f"{out}_tail{axis}", f"Slice({x}, {cut}, {end}, {along})")
        head = w.op(f"{out}_head{axis}", f"Slice({x}, {zero}, {cut}, {along})")
        x = w.op(f"{out}_{axis}", f"Concat<axis={axis}>({tail}, {head})")
    return x


def hybrid(
    spelling: str = "operators", *, seed: int = 0, outliers: int = 2, dim: int = 32
) -> onnx.ModelProto:
    """Return a MobileViT block on `[N, 3, 16, 16]`: convolutions with SiLU around attention."""
    w = Writer(seed, spelling, outliers)
    stem = _silu(w, w.conv("input", "stem", (16, 3, 3, 3), stride=2, pad=1))
    x = w.conv(_silu(w, w.conv(stem, "local", (16, 16, 3, 3), pad=1)), "into", (dim, 16, 1, 1))
    for out, shape, perm in (
        ("cells", [-1, 2, 4, 2], "0,2,1,3"),
        ("patches", [-1, dim, 16, 4], "0,3,2,1"),
    ):
        shaped = w.op(
            f"{out}_r", f"Reshape({x}, {w.const(f'{out}_shape', np.array(shape), np.int64)})"
        )
        x = w.op(out, f"Transpose<perm=[{perm}]>({shaped})")
    x = w.op("sequence", f"Reshape({x}, {w.const('seq_shape', [-1, 16, dim], np.int64)})")
    for number in range(2):
        x = w.block(x, f"b{number}", dim, 4, 16)
    x, _ = w.norm(x, "ln", dim)
    x = w.op("four", f"Reshape({x}, {w.const('four_shape', [-1, 4, 16, dim], np.int64)})")
    x = w.op("turned", f"Transpose<perm=[0,3,2,1]>({x})")
    x = w.op("cells2", f"Reshape({x}, {w.const('cells2_shape', [-1, 4, 2, 2], np.int64)})")
    x = w.op("near", f"Transpose<perm=[0,2,1,3]>({x})")
    x = w.op("map", f"Reshape({x}, {w.const('map_shape', [-1, dim, 8, 8], np.int64)})")
    out = _silu(w, w.conv(x, "out", (16, dim, 1, 1)))
    mixed = _silu(
        w,
        w.conv(
            w.op("both", f"Concat<axis=1>({stem}, {out})"), "mix", (16, 32, 3, 3), stride=2, pad=1
        ),
    )
    w.op("pool", f"GlobalAveragePool({mixed})")
    w.op("flat", "Flatten(pool)")
    head = w.const("head_w", w.rng.normal(0, 0.25, (10, 16)))
    w.op("output", f"Gemm<transB=1>(flat, {head}, {w.const('head_b', np.zeros(10))})")
    return w.net("float[N,3,16,16] input", "float[N,10] output")


def _silu(w: Writer, x: str) -> str:
    return w.op(f"{x}_silu", f"Mul({x}, {w.op(f'{x}_gate', f'Sigmoid({x})')})")


def ocr(
    spelling: str = "operators", *, seed: int = 0, outliers: int = 2, dim: int = 32
) -> onnx.ModelProto:
    """Return a text line's reader on `[N, 3, 16, W]`: convolutions, two blocks, 40 letters a step."""
    w = Writer(seed, spelling, outliers)
    x = w.op("relu1", f"Relu({w.conv('input', 'conv1', (16, 3, 3, 3), stride=2, pad=1)})")
    x = w.op("relu2", f"Relu({w.conv(x, 'conv2', (dim, 16, 3, 3), stride=2, pad=1)})")
    x = w.op("line", f"AveragePool<kernel_shape=[4,1], strides=[4,1]>({x})")
    x = w.op("steps", f"Squeeze({x}, {w.const('height', [2], np.int64)})")
    x = w.op("sequence", f"Transpose<perm=[0,2,1]>({x})")
    for number in range(2):
        x = w.block(x, f"b{number}", dim, 4, -1)
    x, _ = w.norm(x, "ln", dim)
    letters = w.linear(x, "letters", dim, 40)
    w.op("output", f"Softmax<axis=-1>({letters})")
    return w.net("float[N,3,16,W] input", "float[N,T,40] output")

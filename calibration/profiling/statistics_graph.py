"""The prepared graph with small extra outputs: the statistics of every activation.

Reductions run inside the graph, so that a tensor of a million elements leaves ONNX Runtime as its
channels' extremes and a strided sample, and the arena goes on reusing memory. The extremes of all
tensors are concatenated into one output each, because an output costs microseconds in Python.
"""

__all__ = [
    "STATISTICS_VERSION",
    "StatisticsGraph",
    "TensorStatistics",
    "channel_axis",
    "micro_batch",
    "profiled_tensors",
    "with_statistics",
]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from quant.common.errors import UnsupportedError
from quant.graph.edit import add_constant, append_node
from quant.graph.layer import absorbed
from quant.graph.layers import VIEWS
from quant.graph.prepared_graph import Graph, weight_of


def channel_axis(value: ir.Value) -> int:
    """Return the axis along which a tensor's channels lie.

    1 of a matrix or a map, 2 of tokens. A map has its channels last where a layer of tokens makes or
    reads it: MatMul with a constant, LayerNormalization, a sum or product with a constant of that
    length; as in networks with windows.
    """
    rank = len(value.shape or ())
    if value.shape is None or rank < 4 or value.shape[-1] == 1:
        return 2 if rank == 3 else 1
    readers = [
        use.node for use in value.uses() if use.idx == 0 or use.node.op_type in ("Add", "Mul")
    ]
    if any(n.op_type in ("Conv", "ConvTranspose") for n in readers):
        return 1
    maker = value.producer()
    nodes = readers if maker is None else [*readers, maker]
    return rank - 1 if any(_of_tokens(n, value) for n in nodes) else 1


def _of_tokens(node: ir.Node, value: ir.Value) -> bool:
    """Return whether a node treats the last axis of a map as its channels."""
    if node.op_type == "LayerNormalization":
        return node.attributes.get_int("axis", -1) in (-1, len(value.shape or ()) - 1)
    if node.op_type == "MatMul":
        return weight_of(node) is not None
    if node.op_type not in ("Add", "Mul") or value.shape is None:
        return False
    constants = [v.const_value for v in node.inputs if v is not None and v.const_value is not None]
    return any(k.size > 1 and list(k.shape) == [value.shape[-1]] for k in constants)


STATISTICS_VERSION = "2"


SAMPLE_SHARE, SAMPLE_LEAST, SAMPLE_MOST = 16, 512, 2048
"""One sample gives about size / 16 elements of a tensor to its histogram, from 512 to 2048."""


BLIND_STRIDE = 4
"""The stride along an axis whose length is not known before the run."""


UNNAMED = str(ir.SymbolicDim(None))
"""How a dynamic axis without a name reads: two of them need not be equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorStatistics:
    """How one tensor is reduced and sampled, and where its numbers lie in the outputs.

    Attributes:
        tensor: Its name.
        channels: Number of channels whose extremes are kept; 1 with `per_channel` false.
        per_channel: Whether the extremes are those of fixed channels.
        start: Its first column in the concatenated extremes.
        reduce: Axes that the reduction removes; None for all of a tensor of unknown rank.
        steps: Axis, first position and stride of the histogram's sample, for each strided axis.
        size: Elements of the tensor in one sample; None where only the run can tell.
    """

    tensor: str
    channels: int
    per_channel: bool
    start: int
    reduce: tuple[int, ...] | None
    steps: tuple[tuple[int, int, int], ...]
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsGraph:
    """A model with statistics as outputs, and how to read them.

    Outputs: least, greatest and mean `[batch, columns, 1, 1]`; int64 `[n]`, the sizes of the n
    tensors that have none statically (absent when n is 0); then each tensor's sample.
    """

    model: ir.Model
    tensors: tuple[TensorStatistics, ...]
    batch: int
    outputs: tuple[str, ...]


def profiled_tensors(graph: Graph) -> list[str]:
    """Return the activations to profile: all but views and what an activation absorbs.

    A view (Reshape, Transpose, ...) has the numbers of its input. The input of a Relu or Clip that
    is its only reader never reaches memory on any chip, and an output there would break the fusion.
    """
    names = []
    for name in graph.activations:
        value = graph.values[name]
        maker = value.producer()
        if (maker is None or maker.op_type not in VIEWS) and absorbed(value) is None:
            names.append(name)
    return names


def micro_batch(graph: Graph, tensors: Sequence[str]) -> int:
    """Return how many samples one run takes; a function of the graph alone.

    A fixed batch axis decides. With a dynamic one, as many as keep the profiled activations near
    8 million elements, 16 at most, if every profiled tensor has the batch on its first axis.
    """
    shapes = [graph.values[n].shape for n in [str(v.name) for v in graph.inputs]]
    if any(shape is None or not len(shape) for shape in shapes):
        return 1
    first = {str(shape[0]) if not isinstance(shape[0], int) else shape[0] for shape in shapes}  # type: ignore[index]
    if len(first) != 1:
        return 1
    only = first.pop()
    if isinstance(only, int):
        return only
    if only == UNNAMED:
        return 1  # nothing tells it from another axis without a name
    elements = 0
    for name in tensors:
        shape = graph.values[name].shape
        if shape is None or not len(shape) or str(shape[0]) != only:
            return 1
        if any(not isinstance(d, int) for d in shape[1:]):
            return 1
        elements += int(np.prod([int(d) for d in shape[1:]]))  # type: ignore[arg-type]
    return int(min(16, 2 ** int(np.log2(max(8e6 / max(elements, 1), 1.0)))))


def _plan(graph: Graph, name: str, start: int, batch: int) -> TensorStatistics:
    """Return how to reduce and stride one tensor, by its static shape."""
    shape = graph.values[name].shape
    sizes = [d if isinstance(d, int) else None for d in shape] if shape is not None else []
    rank = len(sizes)
    channel = channel_axis(graph.values[name])
    first = () if rank and _is_batch(graph, shape, batch) else (0,)
    width = sizes[channel] if rank >= 2 else None
    if width is None or width < 1:
        axes = None if shape is None else tuple(a for a in range(rank) if a or first)
        return TensorStatistics(
            tensor=name,
            channels=1,
            per_channel=False,
            start=start,
            reduce=axes,
            steps=(),
            size=_size(sizes if first else sizes[1:]),
        )
    inner = tuple(a for a in range(1, rank) if a != channel)
    return TensorStatistics(
        tensor=name,
        channels=width,
        per_channel=True,
        start=start,
        reduce=(*first, *inner),
        steps=_steps([sizes[a] for a in inner], inner, width),
        size=_size(sizes if first else sizes[1:]),
    )


def _size(sizes: list[int | None]) -> int | None:
    """Return the product of the lengths, or None where one is not known."""
    return (
        None if any(s is None for s in sizes) else int(np.prod([s for s in sizes if s], initial=1))
    )


def _is_batch(graph: Graph, shape: ir.Shape | None, batch: int) -> bool:
    """Return whether the first axis has one entry for each sample of a run."""
    inputs = [v.shape for v in graph.inputs]
    symbols = {str(s[0]) for s in inputs if s is not None and len(s)} - {UNNAMED}
    return shape is not None and (shape[0] == batch or {str(shape[0])} == symbols)


def _steps(
    sizes: list[int | None], axes: tuple[int, ...], channels: int
) -> tuple[tuple[int, int, int], ...]:
    """Return strides over the inner axes, spread evenly, that leave about the intended share."""
    if any(s is None for s in sizes):
        return tuple((a, 0, BLIND_STRIDE) for a in axes)
    lengths = [int(s) for s in sizes if s is not None]
    size = channels * float(np.prod(lengths))
    factor = size / min(max(size / SAMPLE_SHARE, SAMPLE_LEAST), SAMPLE_MOST)
    if factor < 2 or not lengths:
        return ()
    strides = [max(1, min(round(factor ** (1 / len(lengths))), s)) for s in lengths]
    return tuple((a, 0, s) for a, s in zip(axes, strides, strict=True) if s > 1)


def _refuse_mixed_batch(graph: Graph, names: Sequence[str], batch: int) -> None:
    """Raise when a fixed batch of several samples is mixed into one tensor."""
    for name in names if batch > 1 else ():
        shape = graph.values[name].shape
        if shape is not None and not _is_batch(graph, shape, batch):
            raise UnsupportedError(
                f"{graph.source or graph.name}: with the fixed batch of {batch}, tensor '{name}' of "
                f"shape {[str(d) for d in shape]} holds several samples, which a profile cannot "
                "tell apart. Export the model with a batch of 1 or a dynamic one."
            )


def with_statistics(graph: Graph, tensors: Sequence[str] | None = None) -> StatisticsGraph:
    """Return the graph with its own outputs replaced by what the profile needs of `tensors`."""
    names = list(tensors) if tensors is not None else profiled_tensors(graph)
    batch = micro_batch(graph, names)
    model = graph.clone()
    edit = _Statistics(model)
    values = {str(v.name): v for v in model.graph.inputs}
    for node in model.graph:
        values.update({str(v.name): v for v in node.outputs})
    _refuse_mixed_batch(graph, names, batch)
    plans: list[TensorStatistics] = []
    rows: dict[str, list[ir.Value]] = {"Min": [], "Max": [], "Mean": []}
    samples = []
    start = 0
    for name in names:
        plan = _plan(graph, name, start, batch)
        start += plan.channels
        plans.append(plan)
        for kind, parts in rows.items():
            parts.append(edit.reduce(kind, values[name], plan.reduce, batch))
        samples.append(edit.stride(values[name], plan.steps))
    outputs = [edit.node("Concat", parts, {"axis": 1}) for parts in rows.values()]
    unknown_sizes = [edit.size(values[plan.tensor]) for plan in plans if plan.size is None]
    outputs += [edit.node("Concat", unknown_sizes, {"axis": 0})] if unknown_sizes else []
    outputs += samples
    for number, value in enumerate(outputs):
        value.name = value.name or f"quant.tap.{number}"
        value.dtype = ir.DataType.INT64 if unknown_sizes and number == 3 else ir.DataType.FLOAT
    model.graph.outputs.clear()
    model.graph.outputs.extend(outputs)
    return StatisticsGraph(
        model=model, tensors=tuple(plans), batch=batch, outputs=tuple(str(v.name) for v in outputs)
    )


class _Statistics:
    """Appends nodes to one model, with constants shared and spelt for its opset."""

    def __init__(self, model: ir.Model) -> None:
        self._graph = model.graph
        self._opset = model.opset_imports[""]
        self._constants: dict[tuple[int, ...], ir.Value] = {}

    def node(
        self, op: str, inputs: Sequence[ir.Value], attributes: Mapping[str, object]
    ) -> ir.Value:
        return append_node(self._graph, op, inputs, attributes)

    def constant(self, numbers: Sequence[int]) -> ir.Value:
        key = tuple(numbers)
        if key not in self._constants:
            name = f"quant.tap.constant.{len(self._constants)}"
            array = np.array(key, np.int64)
            self._constants[key] = add_constant(self._graph, name, array, typed=False)
        return self._constants[key]

    def reduce(
        self, kind: str, value: ir.Value, axes: tuple[int, ...] | None, batch: int
    ) -> ir.Value:
        """Reduce to [batch, channels, 1, 1]."""
        if axes == (2, 3) and len(value.shape or ()) == 4:
            if kind == "Mean":  # this one stays in ONNX Runtime's blocked layout
                return self.node("GlobalAveragePool", [value], {})
            return self._reduced(kind, value, axes, keepdims=1)
        if axes != ():
            value = self._reduced(kind, value, axes, keepdims=0)
        return self.node("Reshape", [value, self.constant([batch, -1, 1, 1])], {})

    def _reduced(
        self, kind: str, value: ir.Value, axes: tuple[int, ...] | None, keepdims: int
    ) -> ir.Value:
        if axes is None:
            return self.node(f"Reduce{kind}", [value], {"keepdims": keepdims})
        if self._opset >= 18:
            return self.node(f"Reduce{kind}", [value, self.constant(axes)], {"keepdims": keepdims})
        return self.node(f"Reduce{kind}", [value], {"axes": list(axes), "keepdims": keepdims})

    def stride(self, value: ir.Value, steps: tuple[tuple[int, int, int], ...]) -> ir.Value:
        """Take every n-th element along some axes."""
        if not steps:
            return self.node("Identity", [value], {}) if value.producer() is None else value
        if [axis for axis, _, _ in steps] == [2, 3] and len(value.shape or ()) == 4:
            # a pooling window of one element: several times as fast as Slice, and exact
            strides = {"kernel_shape": [1, 1], "strides": [s for _, _, s in steps]}
            return self.node("MaxPool", [value], strides)
        axes, first, strides_ = (self.constant(column) for column in zip(*steps, strict=True))
        last = self.constant([2**62] * len(steps))
        return self.node("Slice", [value, first, last, axes, strides_], {})

    def size(self, value: ir.Value) -> ir.Value:
        """The number of elements as int64 [1]."""
        return self.node("Reshape", [self.node("Size", [value], {}), self.constant([1])], {})

    def rows(self, value: ir.Value, batch: int) -> ir.Value:
        """Shape as [batch, rest]: one row for each sample of the run."""
        return self.node("Reshape", [value, self.constant([batch, -1])], {})

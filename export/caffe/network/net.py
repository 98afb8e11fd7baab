"""Writer of a Caffe network: its layers so far, and the blob of every ONNX tensor."""

__all__ = ["NetWriter"]

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quant.export.caffe.network.blob import Blob, Refusal
from quant.export.caffe.network.messages import message
from quant.export.caffe.network.names import MAX_NAME_LENGTH, Names, mapper_name, shortened
from quant.export.caffe.network.shapes import Shape


class NetWriter:
    """Collects layers; `node` is the one being converted, whose name its layers take.

    Args:
        high: Names of nodes whose layers get `_hp`.
        shifts: By node name float32 `[K]`, added to a layer's bias.
    """

    def __init__(self, high: AbstractSet[str], shifts: Mapping[str, NDArray[Any]]) -> None:
        self.layers: list[Any] = []
        self.shapes: dict[str, Shape] = {}
        self.layer_of_node: dict[str, str] = {}
        self.planar: set[str] = set()
        self.high, self.shifts = high, shifts
        self.node: ir.Node | None = None
        self._blobs: dict[str, Blob] = {}
        self._writes: dict[str, int] = {}
        self._bound: dict[str, int] = {}
        self._cached: dict[object, Blob] = {}
        self._names = Names()

    def mark(self) -> tuple[Any, ...]:
        """Return a snapshot that `undo` restores."""
        tables = (
            self.shapes,
            self.layer_of_node,
            self._blobs,
            self._cached,
            self._writes,
            self._bound,
        )
        return len(self.layers), self._names.taken, *(dict(h) for h in tables)

    def undo(self, mark: tuple[Any, ...]) -> None:
        """Remove every layer that was written since the snapshot."""
        del self.layers[mark[0] :]
        self._names = Names(mark[1])
        self.shapes, self.layer_of_node, self._blobs, self._cached, self._writes, self._bound = (
            mark[2:]
        )

    def has(self, value: ir.Value | None) -> bool:
        """Return whether the tensor has a blob."""
        return value is not None and value.name in self._blobs

    def bind(self, value: ir.Value, blob: Blob) -> None:
        """Record which blob holds a tensor's numbers."""
        self._blobs[str(value.name)] = blob
        self._bound[str(value.name)] = self._writes.get(blob.name, 0)

    @property
    def tops(self) -> dict[str, str]:
        """Blob by tensor, without those overwritten in place and those with something pending."""
        live = [(t, b.name) for t, b in self._blobs.items() if b.done]
        return {t: name for t, name in live if self._writes.get(name, 0) == self._bound[t]}

    def blob(self, value: ir.Value | None) -> Blob:
        """Return a tensor's blob, perhaps with something pending.

        Raises:
            Refusal: The tensor is a constant.
        """
        if value is None or str(value.name) not in self._blobs:
            raise Refusal(
                1,
                f"the constant '{value.name if value is not None else ''}' where data belongs",
                "a tensor that depends on the input",
                "Fold the constant into a layer, or cut the network before this node.",
            )
        return self._blobs[str(value.name)]

    def cached(self, key: object, blob: Blob | None = None) -> Blob | None:
        """Return the blob that was written for this key, or None; `blob` is stored for it first."""
        if blob is not None:
            self._cached[key] = blob
        return self._cached.get(key)

    def input(self, value: ir.Value, shape: Shape) -> Blob:
        """Write an Input layer and return its blob."""
        name = self._names.take(shortened(mapper_name(str(value.name), "input")))
        layer = message("LayerParameter")
        layer.name, layer.type = name, "Input"
        layer.top.append(name)
        layer.input_param.shape.add().dim.extend(shape)
        self.layers.append(layer)
        self.shapes[name] = shape
        return Blob(name, shape)

    def add(
        self, kind: str, bottoms: Sequence[Blob], shape: Shape, role: str = "", stem: str = ""
    ) -> tuple[Any, Blob]:
        """Write a layer and return its message, to set parameters in, and its blob.

        Args:
            kind: Caffe's type.
            bottoms: The blobs that it reads.
            shape: Shape of its result.
            role: End of the name, which distinguishes the layers of one node; "" is the main layer.
            stem: Start of the name, for a layer of no node; "" takes the node's name.
        """
        name = self._layer_name(role, stem)
        high = not stem and self.node is not None and self.node.name in self.high
        layer = self._layer(kind, name + "_hp" if high else name, bottoms)
        layer.top.append(name)
        if not stem:
            self._record_node(layer, role)
        return layer, self._written(name, shape)

    def add_in_place(self, kind: str, blob: Blob, role: str = "") -> tuple[Any, Blob]:
        """Write a layer of the node whose result overwrites its input; return message and blob."""
        layer = self._layer(kind, self._layer_name(role, ""), [blob])
        layer.top.append(blob.name)
        self._record_node(layer, role)
        return layer, self._written(blob.name, blob.shape)

    def _layer_name(self, role: str, stem: str) -> str:
        if not stem and self.node is not None:
            stem = mapper_name(str(self.node.name), self.node.op_type)
        return self._names.take(f"{stem}_{role}" if role else stem)

    def _layer(self, kind: str, name: str, bottoms: Sequence[Blob]) -> Any:
        layer = message("LayerParameter")
        layer.name, layer.type = name, kind
        layer.bottom.extend(b.name for b in bottoms)
        self.layers.append(layer)
        return layer

    def _record_node(self, layer: Any, role: str) -> None:
        """Record a layer as its node's: the main one, or the first."""
        node = self.node
        if node is not None and (not role or node.name not in self.layer_of_node):
            self.layer_of_node[str(node.name)] = layer.name

    def _written(self, top: str, shape: Shape) -> Blob:
        self.shapes[top] = shape
        self._writes[top] = self._writes.get(top, 0) + 1
        return Blob(top, shape)

    def set_tops(self, layer: Any, shapes: Sequence[Shape]) -> list[Blob]:
        """Give a layer several tops, `<name>_0` and on, in place of its one top."""
        stem = layer.top[0]
        del layer.top[:], self.shapes[stem]
        tops = [Blob(self._names.take(f"{stem}_{i}"), shape) for i, shape in enumerate(shapes)]
        layer.top.extend(top.name for top in tops)
        self.shapes.update({top.name: top.shape for top in tops})
        return tops

    def remove(self, layer: Any, successor: Any) -> None:
        """Remove a layer that was merged into `successor`, and its blob."""
        (top,) = layer.top
        self.layers = [x for x in self.layers if x is not layer]
        del self.shapes[top]
        self._blobs = {t: b for t, b in self._blobs.items() if b.name != top}
        self.layer_of_node = {
            k: successor.name if v == layer.name else v for k, v in self.layer_of_node.items()
        }

    def rename(self, old: str, wanted: str) -> str:
        """Give a blob another name in every layer, and return the name, made unique."""
        if old == wanted:
            return old
        unique = self._names.take(wanted)
        for layer in self.layers:
            for field in (layer.bottom, layer.top):
                field[:] = [unique if n == old else n for n in field]
        self.shapes = {unique if n == old else n: s for n, s in self.shapes.items()}
        self._writes = {unique if n == old else n: c for n, c in self._writes.items()}
        for tensor, blob in self._blobs.items():
            if blob.name == old:
                self._blobs[tensor] = replace(blob, name=unique)
        return unique

    def rename_layer(self, layer: Any) -> None:
        """Shorten a layer's name to 31 characters."""
        if len(layer.name) <= MAX_NAME_LENGTH:
            return
        mark = "_hp" if layer.name.endswith("_hp") else ""
        name = self._names.take(shortened(layer.name.removesuffix(mark), mark))
        self.layer_of_node = {
            k: name if v == layer.name else v for k, v in self.layer_of_node.items()
        }
        layer.name = name

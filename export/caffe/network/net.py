"""The Caffe network while it is being written: layers so far, and the blob of every ONNX tensor."""

__all__ = ["Net"]

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quant.export.caffe.network.blob import Blob, Refusal, Shape
from quant.export.caffe.network.files import blob_of
from quant.export.caffe.network.messages import message
from quant.export.caffe.network.names import LONGEST, Names, plain, short


class Net:
    """Collects layers; `node` is the one being converted, whose name its layers take.

    Args:
        high: Names of nodes whose layers get `_hp`.
        shifts: By node name, what is added to a layer's bias.
    """

    def __init__(self, high: AbstractSet[str], shifts: Mapping[str, NDArray[Any]]) -> None:
        self.layers: list[Any] = []
        self.shapes: dict[str, Shape] = {}
        self.of_node: dict[str, str] = {}
        self.planar: set[str] = set()
        self.high, self.shifts = high, shifts
        self.node: ir.Node | None = None
        self._blobs: dict[str, Blob] = {}
        self._writes: dict[str, int] = {}
        self._bound: dict[str, int] = {}
        self._made: dict[object, Blob] = {}
        self._names = Names()

    def mark(self) -> tuple[Any, ...]:
        """Return what `undo` goes back to."""
        held = (self.shapes, self.of_node, self._blobs, self._made, self._writes, self._bound)
        return len(self.layers), self._names.taken, *(dict(h) for h in held)

    def undo(self, mark: tuple[Any, ...]) -> None:
        """Forget every layer since the mark."""
        del self.layers[mark[0] :]
        self._names = Names(mark[1])
        self.shapes, self.of_node, self._blobs, self._made, self._writes, self._bound = mark[2:]

    def has(self, value: ir.Value | None) -> bool:
        """Return whether the tensor has a blob."""
        return value is not None and value.name in self._blobs

    def bind(self, value: ir.Value, blob: Blob) -> None:
        """Say which blob holds a tensor's numbers."""
        self._blobs[str(value.name)] = blob
        self._bound[str(value.name)] = self._writes.get(blob.name, 0)

    @property
    def tops(self) -> dict[str, str]:
        """Blob by tensor, without those overwritten in place and those with something left to do."""
        live = [(t, b.name) for t, b in self._blobs.items() if b.done]
        return {t: name for t, name in live if self._writes.get(name, 0) == self._bound[t]}

    def raw(self, value: ir.Value | None) -> Blob:
        """Return a tensor's blob, perhaps with something left to do."""
        if value is None or str(value.name) not in self._blobs:
            raise Refusal(
                1,
                f"the constant '{value.name if value is not None else ''}' where data belongs",
                "a tensor that depends on the input",
                "Fold the constant into a layer, or cut the network before this node.",
            )
        return self._blobs[str(value.name)]

    def once(self, key: object, blob: Blob | None = None) -> Blob | None:
        """Return what was made under this key; with a blob, keep it there first."""
        if blob is not None:
            self._made[key] = blob
        return self._made.get(key)

    def input(self, value: ir.Value, shape: Shape) -> Blob:
        """Write an Input layer and return its blob."""
        name = self._names.take(short(plain(str(value.name), "input")))
        layer = message("LayerParameter")
        layer.name, layer.type = name, "Input"
        layer.top.append(name)
        layer.input_param.shape.add().dim.extend(shape)
        self.layers.append(layer)
        self.shapes[name] = shape
        return Blob(name, shape)

    def add(
        self,
        kind: str,
        bottoms: Sequence[Blob],
        shape: Shape,
        *,
        role: str = "",
        stem: str = "",
        blobs: Sequence[NDArray[Any]] = (),
        in_place: bool = False,
    ) -> tuple[Any, Blob]:
        """Write a layer and return its message, to set parameters in, and its blob.

        Args:
            kind: Caffe's type.
            bottoms: What it reads.
            shape: Of its result.
            role: Tells the layers of one node apart; "" is the main one.
            stem: Start of the name; "" takes the node's.
            blobs: Weights.
            in_place: The result takes the first bottom's place.
        """
        node = None if stem else self.node
        if node is not None:
            stem = plain(str(node.name), node.op_type)
        name = self._names.take(f"{stem}_{role}" if role else stem)
        layer = message("LayerParameter")
        high = node is not None and not in_place and node.name in self.high
        layer.name, layer.type = name + "_hp" if high else name, kind
        layer.bottom.extend(b.name for b in bottoms)
        top = bottoms[0].name if in_place else name
        layer.top.append(top)
        layer.blobs.extend(blob_of(b) for b in blobs)
        if node is not None and (not role or node.name not in self.of_node):
            self.of_node[str(node.name)] = layer.name
        self.layers.append(layer)
        self.shapes[top] = shape
        self._writes[top] = self._writes.get(top, 0) + 1
        return layer, Blob(top, shape)

    def spread(self, layer: Any, shapes: Sequence[Shape]) -> list[Blob]:
        """Give a layer several tops, `<name>_0` and on, in place of its one."""
        stem = layer.top[0]
        del layer.top[:], self.shapes[stem]
        found = [Blob(self._names.take(f"{stem}_{i}"), shape) for i, shape in enumerate(shapes)]
        layer.top.extend(b.name for b in found)
        self.shapes.update({b.name: b.shape for b in found})
        return found

    def remove(self, layer: Any, heir: Any) -> None:
        """Take out a layer whose work another one does, and forget its blob."""
        (top,) = layer.top
        self.layers = [x for x in self.layers if x is not layer]
        del self.shapes[top]
        self._blobs = {t: b for t, b in self._blobs.items() if b.name != top}
        self.of_node = {k: heir.name if v == layer.name else v for k, v in self.of_node.items()}

    def rename(self, old: str, wanted: str) -> str:
        """Give a blob another name wherever it stands, and return it."""
        if old == wanted:
            return old
        name = self._names.take(wanted)
        for layer in self.layers:
            for field in (layer.bottom, layer.top):
                field[:] = [name if n == old else n for n in field]
        self.shapes = {name if n == old else n: s for n, s in self.shapes.items()}
        self._writes = {name if n == old else n: c for n, c in self._writes.items()}
        for tensor, blob in self._blobs.items():
            if blob.name == old:
                self._blobs[tensor] = replace(blob, name=name)
        return name

    def rename_layer(self, layer: Any) -> None:
        """Give a layer a short name."""
        if len(layer.name) <= LONGEST:
            return
        mark = "_hp" if layer.name.endswith("_hp") else ""
        name = self._names.take(short(layer.name.removesuffix(mark), mark))
        self.of_node = {k: name if v == layer.name else v for k, v in self.of_node.items()}
        layer.name = name

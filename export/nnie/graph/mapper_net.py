"""A Caffe network with the shapes and neighbours of every layer."""

__all__ = [
    "ACTIVATIONS",
    "HOST_TYPES",
    "ROI_TYPES",
    "MapperInput",
    "MapperLayer",
    "MapperNet",
    "net_of",
]

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from quant.export.caffe.network.shapes import Shape, tops_of

ACTIVATIONS = frozenset(["ReLU", "PReLU", "RReLU", "Sigmoid", "TanH", "ELU", "AbsVal", "BNLL"])
HOST_TYPES = frozenset(["Custom", "Proposal"])
ROI_TYPES = frozenset(["ROIPooling", "PSROIPooling"])


@dataclass(kw_only=True, eq=False)
class MapperInput:
    """One input of the network: its blob, its shape with batch axis, and its readers."""

    name: str
    shape: Shape | None
    readers: list["MapperLayer"] = field(default_factory=list)


@dataclass(kw_only=True, eq=False)
class MapperLayer:
    """One layer with its neighbours.

    Attributes:
        proto: Its LayerParameter.
        bottoms: Shapes of the blobs that it reads; None where unknown.
        tops: Shapes of the blobs that it writes; None where unknown.
        producers: The layer or input that writes each bottom, or None.
        readers: The layers that read each top.
    """

    proto: Any
    bottoms: list[Shape | None]
    tops: list[Shape | None]
    producers: list["MapperLayer | MapperInput | None"]
    readers: list[list["MapperLayer"]]

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.proto.name)

    @property
    def type(self) -> str:
        """The layer's type."""
        return str(self.proto.type)

    @property
    def place(self) -> str:
        """The place in a finding: "layer 'conv1'"."""
        return f"layer '{self.name}'"

    @property
    def inplace(self) -> bool:
        """Whether a top overwrites a bottom."""
        return bool(set(self.proto.top) & set(self.proto.bottom))

    @property
    def high(self) -> bool:
        """Whether the name asks for 16 bit."""
        return self.name.endswith("_hp")

    @property
    def cpu(self) -> bool:
        """Whether it runs on the host."""
        return self.type in HOST_TYPES or self.name.endswith("_cpu")

    @property
    def next_layers(self) -> list["MapperLayer"]:
        """The layers that read a top."""
        return [reader for readers in self.readers for reader in readers]


@dataclass(frozen=True, kw_only=True)
class MapperNet:
    """A network.

    Attributes:
        proto: Its NetParameter.
        inputs: Its inputs, in the order of the prototxt.
        layers: Its layers without those of type Input, in order.
    """

    proto: Any
    inputs: list[MapperInput]
    layers: list[MapperLayer]

    def of_type(self, *types: str) -> Iterator[MapperLayer]:
        """Yield the layers of these types."""
        return (layer for layer in self.layers if layer.type in types)


def net_of(proto: Any) -> MapperNet:
    """Return a network with shapes and neighbours; a blob that is written again is a new one."""
    inputs = _inputs(proto)
    live: dict[str, tuple[Shape | None, MapperLayer | MapperInput, list[MapperLayer]]] = {
        source.name: (source.shape, source, source.readers) for source in inputs
    }
    layers = []
    for message in proto.layer:
        if message.type == "Input":
            continue
        sources = [live.get(name) for name in message.bottom]
        shapes = [blob[0] if blob else None for blob in sources]
        layer = MapperLayer(
            proto=message,
            bottoms=shapes,
            tops=tops_of(message, shapes),
            producers=[blob[1] if blob else None for blob in sources],
            readers=[[] for _ in message.top],
        )
        for blob in sources:
            if blob:
                blob[2].append(layer)
        for name, shape, readers in zip(message.top, layer.tops, layer.readers, strict=True):
            live[name] = shape, layer, readers
        layers.append(layer)
    return MapperNet(proto=proto, inputs=inputs, layers=layers)


def _inputs(proto: Any) -> list[MapperInput]:
    inputs = []
    for i, name in enumerate(proto.input):
        shape = None
        if i < len(proto.input_shape):
            shape = tuple(int(d) for d in proto.input_shape[i].dim)
        elif len(proto.input_dim) >= 4 * (i + 1):
            shape = tuple(int(d) for d in proto.input_dim[4 * i : 4 * i + 4])
        inputs.append(MapperInput(name=str(name), shape=shape))
    for message in proto.layer:
        if message.type == "Input":
            for name, shape in zip(message.top, tops_of(message, []), strict=True):
                inputs.append(MapperInput(name=str(name), shape=shape))
    return inputs

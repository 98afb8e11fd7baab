"""A Caffe network as the mapper sees it: every layer with the shapes and layers around it."""

__all__ = ["ACTIVATIONS", "CPU", "ROI", "Input", "Net", "Site", "net_of"]

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from quant.export.caffe.network.shapes import Shape, tops_of

ACTIVATIONS = frozenset(["ReLU", "PReLU", "RReLU", "Sigmoid", "TanH", "ELU", "AbsVal", "BNLL"])
CPU = frozenset(["Custom", "Proposal"])
ROI = frozenset(["ROIPooling", "PSROIPooling"])


@dataclass(kw_only=True, eq=False)
class Input:
    """One input of the network: its blob, its shape with batch axis, and who reads it."""

    name: str
    shape: Shape | None
    readers: list["Site"] = field(default_factory=list)


@dataclass(kw_only=True, eq=False)
class Site:
    """One layer in its place.

    Attributes:
        layer: LayerParameter.
        bottoms: Shapes, None where unknown.
        tops: Likewise.
        makers: Of each bottom: a Site, an Input, or None where nothing made it.
        readers: Of each top.
    """

    layer: Any
    bottoms: list[Shape | None]
    tops: list[Shape | None]
    makers: list["Site | Input | None"]
    readers: list[list["Site"]]

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.layer.name)

    @property
    def type(self) -> str:
        """The layer's type."""
        return str(self.layer.type)

    @property
    def place(self) -> str:
        """As findings write it."""
        return f"layer '{self.name}'"

    @property
    def inplace(self) -> bool:
        """Whether a top overwrites a bottom."""
        return bool(set(self.layer.top) & set(self.layer.bottom))

    @property
    def high(self) -> bool:
        """Whether the name asks for 16 bit."""
        return self.name.endswith("_hp")

    @property
    def cpu(self) -> bool:
        """Whether it runs on the host."""
        return self.type in CPU or self.name.endswith("_cpu")

    @property
    def behind(self) -> list["Site"]:
        """Every layer that reads a top."""
        return [reader for readers in self.readers for reader in readers]


@dataclass(frozen=True, kw_only=True)
class Net:
    """A network.

    Attributes:
        proto: NetParameter.
        inputs: In the order of the prototxt.
        sites: Its layers without those of type Input, in order.
    """

    proto: Any
    inputs: list[Input]
    sites: list[Site]

    def of(self, *types: str) -> Iterator[Site]:
        """Yield the layers of these types."""
        return (site for site in self.sites if site.type in types)


def net_of(proto: Any) -> Net:
    """Return a network with shapes and neighbours; a blob that is written anew is a new one."""
    inputs = _inputs(proto)
    live: dict[str, tuple[Shape | None, Site | Input, list[Site]]] = {
        one.name: (one.shape, one, one.readers) for one in inputs
    }
    sites = []
    for layer in proto.layer:
        if layer.type == "Input":
            continue
        found = [live.get(name) for name in layer.bottom]
        shapes = [blob[0] if blob else None for blob in found]
        site = Site(
            layer=layer,
            bottoms=shapes,
            tops=tops_of(layer, shapes),
            makers=[blob[1] if blob else None for blob in found],
            readers=[[] for _ in layer.top],
        )
        for blob in found:
            if blob:
                blob[2].append(site)
        for name, shape, readers in zip(layer.top, site.tops, site.readers, strict=True):
            live[name] = shape, site, readers
        sites.append(site)
    return Net(proto=proto, inputs=inputs, sites=sites)


def _inputs(proto: Any) -> list[Input]:
    found = []
    for i, name in enumerate(proto.input):
        shape = None
        if i < len(proto.input_shape):
            shape = tuple(int(d) for d in proto.input_shape[i].dim)
        elif len(proto.input_dim) >= 4 * (i + 1):
            shape = tuple(int(d) for d in proto.input_dim[4 * i : 4 * i + 4])
        found.append(Input(name=str(name), shape=shape))
    for layer in proto.layer:
        if layer.type == "Input":
            for name, shape in zip(layer.top, tops_of(layer, []), strict=True):
                found.append(Input(name=str(name), shape=shape))
    return found

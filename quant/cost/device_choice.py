"""The device and the input sizes that a run's prediction is made for."""

__all__ = ["default_device", "single_sizes"]

from collections.abc import Collection, Mapping
from typing import Any

from quant.graph.prepared_graph import Graph
from quant.target.device import Device


def default_device(devices: Collection[Device], version: str | None) -> Device | None:
    """Return the device that a version names, or the first device; None where there is none.

    Args:
        devices: Devices of a target.
        version: Value of the target's version flag, as "Ascend310P3"; the device with the longest
            `fits` that it begins with is the one. None where the target has no such flag.
    """
    name = (version or "").lower()
    fitting = [
        (len(fit), -at, device)
        for at, device in enumerate(devices)
        for fit in device.fits
        if name.startswith(fit)
    ]
    if fitting:
        return max(fitting, key=lambda fit: fit[:2])[2]
    return next(iter(devices), None)


def single_sizes(graph: Graph, sizes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a graph's inputs for one sample, by input name.

    Args:
        graph: The prepared graph.
        sizes: Shapes of a batch, by input name.
    """
    single = {str(v.name): _single(v.shape, sizes.get(str(v.name))) for v in graph.inputs}
    return {name: size for name, size in single.items() if size is not None}


def _single(shape: Any, size: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return an input's shape with a batch of 1 where the graph leaves the batch open."""
    if size is None or shape is None or not size or isinstance(shape[0], int):
        return size
    return (1, *size[1:])

"""Predicted: what the roofline of a target's device says of a plan, for `run.json`."""

__all__ = ["default_device", "single_sizes"]

from collections.abc import Collection, Mapping
from typing import Any

from quant.graph.prepared_graph import Graph
from quant.target.device import Device


def default_device(devices: Collection[Device], said: Collection[str]) -> Device | None:
    """Return the device that flags speak of, or the first; None where there is none.

    Args:
        devices: Of a target.
        said: Values of `--soc-version` and `--nnie-version`; the longest `fits` of a device that one
            of them begins with decides.
    """
    words = [word.lower() for word in said]
    fitting = [
        (len(fit), -at, device)
        for at, device in enumerate(devices)
        for fit in device.fits
        if any(word.startswith(fit) for word in words)
    ]
    if fitting:
        return max(fitting, key=lambda found: found[:2])[2]
    return next(iter(devices), None)


def single_sizes(graph: Graph, sizes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a graph's inputs for one sample.

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

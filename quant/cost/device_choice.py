"""Predicted: what the roofline of a target's device says of a plan, for `run.json`."""

__all__ = ["device_meant", "predicted", "predicted_text", "single_sizes"]

from collections.abc import Collection, Mapping
from typing import Any

from quant.cost.layer_costs import CostTable
from quant.graph.layers import layers
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.target.device import Device
from quant.target.table import Target


def device_meant(devices: Collection[Device], said: Collection[str]) -> Device | None:
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


def predicted(graph: Graph, plan: Plan, target: Target, table: CostTable) -> dict[str, Any]:
    """Return the predicted time of a plan and of float, or {} where no time is known.

    Keys: `predicted_ms` of one sample, and `predicted`: `device`, `float` (a precision), `float_ms`,
    `memory` (whether bytes count: the bandwidth is known).

    Args:
        graph: The one that the plan is of.
        plan: Chosen for it.
        target: Says which float it has.
        table: What layers cost.
    """
    if not any(cost.milliseconds > 0 for cost in table.layers.values()):
        return {}
    chosen = {name: plan.layers[name].precision for name in (x.name for x in layers(graph))}
    return {
        "predicted_ms": table.milliseconds(chosen, graph),
        "predicted": {
            "device": table.device,
            "float": target.best,
            "float_ms": table.milliseconds(dict.fromkeys(chosen, target.best), graph),
            "memory": table.byte_ms > 0,
        },
    }


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


def predicted_text(facts: Mapping[str, Any]) -> list[str]:
    """Return the line that says so on the terminal, or []."""
    told = facts.get("predicted")
    if not told:
        return []
    memory = "" if told["memory"] else "; its bandwidth is not public, so this is a lower bound"
    return [
        (
            f"  predicted   {facts['predicted_ms']:.4g} ms a sample on {told['device']}, "
            f"{told['float']} {told['float_ms']:.4g} ms{memory}"
        )
    ]

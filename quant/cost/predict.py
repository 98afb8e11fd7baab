"""Roofing: from what a user asked to a network under a roofline."""

__all__ = ["CostQuestion", "network_precisions", "predict_cost"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from quant.choose.precisions import precisions
from quant.common.errors import InputError
from quant.cost.device_file import pick_device
from quant.cost.layer_costs import CostTable
from quant.cost.measured_table import with_measured
from quant.cost.measured_times import Latency, LayerNames, read_latency
from quant.cost.network_cost import NetworkCost
from quant.cost.open_sizes import chosen_sizes
from quant.cost.roofline import roofline
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph
from quant.load.open_graph import open_graph
from quant.plan.recipe import Recipe, Rule
from quant.target.device import Device
from quant.target.table import TARGETS, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class CostQuestion:
    """What `quant roofline` was asked.

    Attributes:
        model: ONNX file or `module:factory`.
        target: Its name.
        device: Name or TOML file; None for the target's first.
        bandwidth: In 10**9 bytes a second, instead of the device's; None for that.
        size: "WIDTHxHEIGHT" or "NAME=1x3x224x224".
        batch: Samples in one inference.
        precision: Of the networks; () for all that target and device have kernels for.
        float_precision: Of layers that cannot be quantized; None for the target's first float.
        measured: A file of measured times, or None.
    """

    model: str
    target: str
    device: str | None = None
    bandwidth: float | None = None
    size: tuple[str, ...] = ()
    batch: int = 1
    precision: tuple[str, ...] = ()
    float_precision: str | None = None
    measured: Path | None = None


def predict_cost(asked: CostQuestion) -> NetworkCost:
    """Return the model's cost on a device, and what was measured of it.

    Raises:
        InputError: The target, the device, a size, a precision or a file of times is wrong.
    """
    target = TARGETS[asked.target]
    if asked.batch < 1:
        raise InputError(f"--batch: must be 1 or more, saw {asked.batch}. Raise it.")
    device = pick_device(target.title, target.devices, asked.device, asked.bandwidth)
    _, graph = open_graph(asked.model)
    sizes = chosen_sizes(graph, asked.size)
    table = roofline(graph, target, device, sizes, asked.batch)
    rest = asked.float_precision
    networks = {
        name: network_precisions(graph, target, name, rest)
        for name in _chosen(asked, target, device)
    }
    latency = _measured(asked, graph, table, networks)
    return NetworkCost(
        graph=graph,
        title=target.title,
        device=device,
        batch=asked.batch,
        sizes=sizes,
        networks=networks,
        table=table,
        measured=with_measured(table, latency) if latency is not None else None,
        latency=latency,
    )


def network_precisions(
    graph: Graph, target: Target, precision: Precision, rest: str | None = None
) -> dict[str, Precision]:
    """Return each layer's precision where the whole network is asked for one, by layer name.

    Layers that the target cannot compute in it stay in the float `rest`, or in its first float, as
    in a plan.
    """
    recipe = Recipe(defaults=Rule(precision=precision, float_precision=rest))
    found = precisions(graph.layers, target, recipe, set(graph.activations))
    return {name: plan.precision for name, plan in found.items()}


def _chosen(asked: CostQuestion, target: Target, device: Device) -> Sequence[Precision]:
    """Return the precisions of the networks: those asked for, or those that the device has."""
    said = [
        ("precision", name, (*target.simulated_formats, *target.float_precisions))
        for name in asked.precision
    ]
    if asked.float_precision is not None:
        said.append(("float-precision", asked.float_precision, target.float_precisions))
    for flag, name, known in said:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(
                f"--{flag}: {target.title} has no '{name}'.{hint} Known: {', '.join(known)}."
            )
    able = [name for name in (*target.formats, *target.float_precisions) if name in device.peak]
    chosen = tuple(Precision(name) for name in asked.precision)
    return list(dict.fromkeys(chosen or able or target.formats))


def _measured(
    asked: CostQuestion,
    graph: Graph,
    table: CostTable,
    networks: Mapping[Precision, Mapping[str, Precision]],
) -> Latency | None:
    if asked.measured is None:
        return None
    only = next(iter(networks.values())) if len(asked.precision) == 1 else None
    return read_latency(asked.measured, LayerNames(graph), table, only, asked.batch)

"""Predict the cost of a model on a device: model file, device, sizes and precisions to numbers."""

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
    """The options of `quant roofline`.

    Attributes:
        model: ONNX file or `module:factory`.
        target: Name of the target.
        device: Name of a device or TOML file; None for the target's first device.
        bandwidth: Bandwidth in 10**9 bytes per second; None for the device's own.
        size: Open lengths of inputs, "WIDTHxHEIGHT" or "NAME=1x3x224x224".
        batch: Samples in one inference.
        precision: Precisions of the networks; () for all that the target and the device can run.
        float_precision: Precision of layers that cannot be quantized; None for the target's first.
        measured: File of measured times, or None.
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


def predict_cost(question: CostQuestion) -> NetworkCost:
    """Return the predicted and measured cost of a model on a device.

    Raises:
        InputError: The target, the device, a size, a precision or the file of times is wrong.
    """
    target = TARGETS[question.target]
    if question.batch < 1:
        raise InputError(f"--batch: must be 1 or more, saw {question.batch}. Raise it.")
    device = pick_device(target.title, target.devices, question.device, question.bandwidth)
    _, graph = open_graph(question.model)
    sizes = chosen_sizes(graph, question.size)
    table = roofline(graph, target, device, sizes, question.batch)
    float_precision = question.float_precision
    networks = {
        name: network_precisions(graph, target, name, float_precision)
        for name in _chosen(question, target, device)
    }
    latency = _measured(question, graph, table, networks)
    return NetworkCost(
        graph=graph,
        title=target.title,
        device=device,
        batch=question.batch,
        sizes=sizes,
        networks=networks,
        table=table,
        measured=with_measured(table, latency) if latency is not None else None,
        latency=latency,
    )


def network_precisions(
    graph: Graph, target: Target, precision: Precision, float_precision: str | None = None
) -> dict[str, Precision]:
    """Return the precision of each layer, by name, in a network of one precision.

    As in a plan, layers that the target cannot compute in it stay in `float_precision`, or in the
    target's first float precision.
    """
    recipe = Recipe(defaults=Rule(precision=precision, float_precision=float_precision))
    layer_plans = precisions(graph.layers, target, recipe, set(graph.activations))
    return {name: plan.precision for name, plan in layer_plans.items()}


def _chosen(question: CostQuestion, target: Target, device: Device) -> Sequence[Precision]:
    """Return the precisions of the networks: the given ones, or all that the device has."""
    given = [
        ("precision", name, (*target.simulated_formats, *target.float_precisions))
        for name in question.precision
    ]
    if question.float_precision is not None:
        given.append(("float-precision", question.float_precision, target.float_precisions))
    for flag, name, allowed in given:
        if name not in allowed:
            near = get_close_matches(name, allowed, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(
                f"--{flag}: {target.title} has no '{name}'.{hint} Known: {', '.join(allowed)}."
            )
    able = [name for name in (*target.formats, *target.float_precisions) if name in device.peak]
    chosen = tuple(Precision(name) for name in question.precision)
    return list(dict.fromkeys(chosen or able or target.formats))


def _measured(
    question: CostQuestion,
    graph: Graph,
    table: CostTable,
    networks: Mapping[Precision, Mapping[str, Precision]],
) -> Latency | None:
    if question.measured is None:
        return None
    only = next(iter(networks.values())) if len(question.precision) == 1 else None
    return read_latency(question.measured, LayerNames(graph), table, only, question.batch)

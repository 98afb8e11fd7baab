"""The predicted and measured cost of a network on a device: its layers, totals, CSV and JSON."""

__all__ = [
    "COLUMNS",
    "LayerPrediction",
    "NetworkCost",
    "Total",
    "network_cost_csv",
    "network_cost_json",
    "predicted",
    "predicted_text",
]

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quant.common.csv_text import csv_lines
from quant.cost.layer_costs import CostTable, LayerCost, conversions
from quant.cost.measured_times import Latency
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.target.device import Device
from quant.target.table import Target

COLUMNS = (
    *("network", "layer", "op", "precision", "macs", "operations", "bytes", "intensity", "bound"),
    *("milliseconds", "measured_ms", "ratio", "attained"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPrediction:
    """A layer's predicted cost and its measured time.

    Attributes:
        cost: The predicted cost.
        measured_ms: Measured milliseconds of one sample; nan where it was not measured.
    """

    cost: LayerCost
    measured_ms: float = math.nan

    @property
    def ratio(self) -> float:
        """Measured / predicted; nan without both."""
        return self.measured_ms / self.cost.milliseconds if self.cost.milliseconds else math.nan

    @property
    def attained(self) -> float:
        """Predicted / measured, the share of the roofline that is attained; nan without both."""
        return self.cost.milliseconds / self.measured_ms if self.measured_ms else math.nan

    @property
    def lost_ms(self) -> float:
        """Milliseconds above the prediction."""
        return self.measured_ms - self.cost.milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A whole network at one precision, for one sample.

    Attributes:
        precision: Precision of the layers; layers that cannot have it stay in float.
        milliseconds: Predicted time.
        conversion_ms: The part of it that conversions between precisions take.
        measured_ms: Time with measured layers in place of predicted ones; nan without any.
        macs: Multiply-accumulates.
        megabytes: Size of the weights in 10**6 bytes.
    """

    precision: Precision
    milliseconds: float
    conversion_ms: float
    measured_ms: float
    macs: int
    megabytes: float

    @property
    def fps(self) -> float:
        """Samples per second, by the measured time where there is one; inf for a time of 0."""
        spent = self.milliseconds if math.isnan(self.measured_ms) else self.measured_ms
        return 1e3 / spent if spent else math.inf


@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """The cost of a network on a device.

    Attributes:
        graph: The prepared graph.
        title: Title of the target.
        device: The device.
        batch: Samples in one inference.
        sizes: Shape of each input.
        networks: Precision of each layer, by the precision that was asked for.
        table: Predicted costs.
        measured: The costs with measured times; None without any.
        latency: The measured times; None without any.
    """

    graph: Graph
    title: str
    device: Device
    batch: int
    sizes: Mapping[str, tuple[int, ...]]
    networks: Mapping[Precision, Mapping[str, Precision]]
    table: CostTable
    measured: CostTable | None = None
    latency: Latency | None = None

    @property
    def assumptions(self) -> tuple[str, ...]:
        """The assumptions behind the times, one sentence each."""
        return (self.measured or self.table).assumptions

    def rows(self, precision: Precision) -> list[LayerPrediction]:
        """Return the layers of the network of a precision, in topological order."""
        times = self.latency.times if self.latency is not None else {}
        return [
            LayerPrediction(cost=self.table.layers[key], measured_ms=times.get(key, math.nan))
            for key in self.networks[precision].items()
        ]

    def short(self, precision: Precision) -> list[LayerPrediction]:
        """Return the measured layers that are slower than predicted, the most lost time first."""
        slower = [row for row in self.rows(precision) if row.lost_ms > 0]
        return sorted(slower, key=lambda row: (-row.lost_ms, row.cost.layer))

    def totals(self) -> list[Total]:
        """Return the cost of the whole network at each precision."""
        return [self._total(name) for name in self.networks]

    def _total(self, name: Precision) -> Total:
        chosen = self.networks[name]
        used = self.measured
        moved = [self.table.conversion(*c) for c in conversions(chosen, self.graph)]
        has_measured = used is not None and any(key in self._times for key in chosen.items())
        return Total(
            precision=name,
            milliseconds=self.table.milliseconds(chosen, self.graph),
            conversion_ms=sum(moved),
            measured_ms=used.milliseconds(chosen, self.graph)
            if used and has_measured
            else math.nan,
            macs=sum(self.table.layers[key].macs for key in chosen.items()),
            megabytes=self.table.megabytes(chosen, self.graph),
        )

    @property
    def _times(self) -> Mapping[tuple[str, Precision], float]:
        return self.latency.times if self.latency is not None else {}


def network_cost_csv(cost: NetworkCost) -> str:
    """Return every layer of every network as CSV; nan where a time was not measured."""
    rows: list[list[object]] = [list(COLUMNS)]
    for network in cost.networks:
        for row in cost.rows(network):
            rows.append([network, *_cells(row).values()])
    return csv_lines(rows)


def network_cost_json(cost: NetworkCost) -> dict[str, Any]:
    """Return all numbers as JSON values (schema 1)."""
    return {
        "schema": 1,
        "model": cost.graph.name,
        "fingerprint": cost.graph.fingerprint,
        "target": cost.table.target,
        "device": cost.device.name,
        "batch": cost.batch,
        "inputs": {name: list(shape) for name, shape in cost.sizes.items()},
        "totals": [
            {
                "precision": t.precision,
                "milliseconds": t.milliseconds,
                "conversion_ms": t.conversion_ms,
                "measured_ms": t.measured_ms,
                "fps": t.fps,
                "macs": t.macs,
                "megabytes": t.megabytes,
            }
            for t in cost.totals()
        ],
        "networks": {name: [_cells(row) for row in cost.rows(name)] for name in cost.networks},
        "assumptions": list(cost.assumptions),
    }


def _cells(row: LayerPrediction) -> dict[str, Any]:
    """Return a row's cells by column, without the network."""
    cost = row.cost
    cells = [cost.layer, cost.op, cost.precision, cost.macs, cost.operations, cost.bytes]
    cells += [cost.intensity, cost.bound, cost.milliseconds]
    cells += [row.measured_ms, row.ratio, row.attained]
    return dict(zip(COLUMNS[1:], cells, strict=True))


def predicted(graph: Graph, plan: Plan, target: Target, table: CostTable) -> dict[str, Any]:
    """Return the predicted times of a plan and of the float network; {} where no time is known.

    Keys: `predicted_ms` of one sample, and `predicted`: `device`, `float` (a precision), `float_ms`,
    `memory` (whether bytes count: the bandwidth is known).

    Args:
        graph: The plan's graph.
        plan: The plan.
        target: The target, with its best float precision.
        table: Costs of the layers.
    """
    if not any(cost.milliseconds > 0 for cost in table.layers.values()):
        return {}
    chosen = {name: plan.layers[name].precision for name in (x.name for x in graph.layers)}
    measured = any(cost.bound == "measured" for cost in table.layers.values())
    return {
        "predicted_ms": table.milliseconds(chosen, graph),
        "predicted": {
            "device": table.device,
            "float": target.best_precision,
            "float_ms": table.milliseconds(dict.fromkeys(chosen, target.best_precision), graph),
            "memory": table.byte_ms > 0,
            **({"measured": True} if measured else {}),
        },
    }


def predicted_text(facts: Mapping[str, Any]) -> str:
    """Return the predicted times of a plan and of float as one phrase, or ""."""
    prediction = facts.get("predicted")
    if not prediction:
        return ""
    if prediction.get("measured"):
        return (
            f"{facts['predicted_ms']:.3g} ms a sample, the sum of layer times measured on "
            f"{prediction['device']}; {prediction['float']} {prediction['float_ms']:.3g} ms"
        )
    figures = "peak rates and memory bandwidth"
    if not prediction["memory"]:
        figures = "peak rates alone, for its memory bandwidth is not public"
    return (
        f"at least {facts['predicted_ms']:.3g} ms a sample on {prediction['device']} by its "
        f"{figures}; {prediction['float']} {prediction['float_ms']:.3g} ms"
    )

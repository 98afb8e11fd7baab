"""Roof: a network under the roofline of a device, as rows for a table, a figure and a file."""

__all__ = [
    "ROOF_COLUMNS",
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

ROOF_COLUMNS = (
    *("network", "layer", "op", "precision", "macs", "operations", "bytes", "intensity", "bound"),
    *("milliseconds", "measured_ms", "ratio", "attained"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPrediction:
    """A layer's prediction, and what was measured of it.

    Attributes:
        cost: The prediction.
        measured_ms: Milliseconds of one sample; nan where it was not measured.
    """

    cost: LayerCost
    measured_ms: float = math.nan

    @property
    def ratio(self) -> float:
        """Measured / predicted; nan without both."""
        return self.measured_ms / self.cost.milliseconds if self.cost.milliseconds else math.nan

    @property
    def attained(self) -> float:
        """The share of the roof that the layer attains: predicted / measured; nan without both."""
        return self.cost.milliseconds / self.measured_ms if self.measured_ms else math.nan

    @property
    def lost_ms(self) -> float:
        """Milliseconds above the prediction."""
        return self.measured_ms - self.cost.milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A whole network at one precision, for one sample.

    Attributes:
        precision: That its layers were asked to compute in; those that cannot stay float.
        milliseconds: Predicted.
        conversion_ms: What conversions between precisions take of it.
        measured_ms: With measured times in their places; nan without any.
        macs: Multiply-accumulates.
        megabytes: Of the weights.
    """

    precision: Precision
    milliseconds: float
    conversion_ms: float
    measured_ms: float
    macs: int
    megabytes: float

    @property
    def fps(self) -> float:
        """Frames a second, of the measured time where there is one; inf for a time of 0."""
        spent = self.milliseconds if math.isnan(self.measured_ms) else self.measured_ms
        return 1e3 / spent if spent else math.inf


@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """A network on a device.

    Attributes:
        graph: Prepared.
        title: The target's.
        device: The chip.
        batch: Samples in one inference.
        sizes: Shape by input.
        networks: By precision that of each layer.
        table: Predicted.
        measured: The same with measured times; None without any.
        latency: What was measured; None without any.
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
        """One sentence each."""
        return (self.measured or self.table).assumptions

    def rows(self, precision: Precision) -> list[LayerPrediction]:
        """Return the layers of the network at a precision, in topological order."""
        times = self.latency.times if self.latency is not None else {}
        return [
            LayerPrediction(cost=self.table.layers[key], measured_ms=times.get(key, math.nan))
            for key in self.networks[precision].items()
        ]

    def short(self, precision: Precision) -> list[LayerPrediction]:
        """Return the measured layers that take longer than predicted, the most lost time first."""
        found = [row for row in self.rows(precision) if row.lost_ms > 0]
        return sorted(found, key=lambda row: (-row.lost_ms, row.cost.layer))

    def totals(self) -> list[Total]:
        """Return the whole network at each precision."""
        return [self._total(name) for name in self.networks]

    def _total(self, name: Precision) -> Total:
        chosen = self.networks[name]
        used = self.measured
        moved = [self.table.conversion(*c) for c in conversions(chosen, self.graph)]
        told = used is not None and any(key in self._times for key in chosen.items())
        return Total(
            precision=name,
            milliseconds=self.table.milliseconds(chosen, self.graph),
            conversion_ms=sum(moved),
            measured_ms=used.milliseconds(chosen, self.graph) if used and told else math.nan,
            macs=sum(self.table.layers[key].macs for key in chosen.items()),
            megabytes=self.table.megabytes(chosen, self.graph),
        )

    @property
    def _times(self) -> Mapping[tuple[str, Precision], float]:
        return self.latency.times if self.latency is not None else {}


def network_cost_csv(roof: NetworkCost) -> str:
    """Return every layer of every network as CSV; nan where nothing was measured."""
    rows: list[list[object]] = [list(ROOF_COLUMNS)]
    for network in roof.networks:
        for row in roof.rows(network):
            rows.append([network, *_cells(row).values()])
    return csv_lines(rows)


def network_cost_json(roof: NetworkCost) -> dict[str, Any]:
    """Return all numbers as values of JSON (schema 1)."""
    return {
        "schema": 1,
        "model": roof.graph.name,
        "fingerprint": roof.graph.fingerprint,
        "target": roof.table.target,
        "device": roof.device.name,
        "batch": roof.batch,
        "inputs": {name: list(shape) for name, shape in roof.sizes.items()},
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
            for t in roof.totals()
        ],
        "networks": {name: [_cells(row) for row in roof.rows(name)] for name in roof.networks},
        "assumptions": list(roof.assumptions),
    }


def _cells(row: LayerPrediction) -> dict[str, Any]:
    """Return a row's cells by column, without the network."""
    cost = row.cost
    cells = [cost.layer, cost.op, cost.precision, cost.macs, cost.operations, cost.bytes]
    cells += [cost.intensity, cost.bound, cost.milliseconds]
    cells += [row.measured_ms, row.ratio, row.attained]
    return dict(zip(ROOF_COLUMNS[1:], cells, strict=True))


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
    chosen = {name: plan.layers[name].precision for name in (x.name for x in graph.layers)}
    return {
        "predicted_ms": table.milliseconds(chosen, graph),
        "predicted": {
            "device": table.device,
            "float": target.best_precision,
            "float_ms": table.milliseconds(dict.fromkeys(chosen, target.best_precision), graph),
            "memory": table.byte_ms > 0,
        },
    }


def predicted_text(facts: Mapping[str, Any]) -> str:
    """Return the predicted times of a plan and of float as one phrase, or ""."""
    predicted_facts = facts.get("predicted")
    if not predicted_facts:
        return ""
    figures = "peak rates and memory bandwidth"
    if not predicted_facts["memory"]:
        figures = "peak rates alone, for its memory bandwidth is not public"
    return (
        f"at least {facts['predicted_ms']:.3g} ms a sample on {predicted_facts['device']} by its "
        f"{figures}; {predicted_facts['float']} {predicted_facts['float_ms']:.3g} ms"
    )

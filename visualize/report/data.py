"""The data of the report: a run as one JSON object, from which the page draws everything."""

__all__ = ["json_for_html", "report_data"]

import json
from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

from quant.graph.layer import Layer
from quant.graph.layers import heads
from quant.graph.prepared_graph import Graph
from quant.results.advice import actions, rating_of
from quant.results.layer_causes import noise_shares
from quant.results.saved_run import SavedRun, SavedTarget
from quant.visualize.report.graph_layout import lay_out
from quant.visualize.report.layers import layer_json, number
from quant.visualize.report.search import search_json


def report_data(run: SavedRun) -> dict[str, Any]:
    """Return the page's data.

    Keys: `model`, `version`, `data`, `preprocess`, `warnings`, `names`, `ops` and `macs` of all
    layers that any target has a row for, `images`, `targets` (each with `rows` by position in
    `names`, and `search` where there was one), `heads` (position and outputs) and `graph`.
    """
    rows = {r.layer: r for t in reversed(run.targets) for r in t.rows}
    order = [layer.name for layer in run.graph.layers if layer.name in rows]
    names = order + [name for name in rows if name not in set(order)]
    many = len(run.targets) > 1
    images = max((t.analysis.images for t in run.targets), key=len, default=())
    return {
        "model": dict(run.facts["model"]),
        "version": run.facts.get("version", ""),
        "data": dict(run.facts.get("data") or {}),
        "preprocess": dict(run.facts.get("preprocess") or {}),
        "settings": dict(run.facts.get("settings") or {}),
        "warnings": list(run.facts.get("warnings") or []),
        "names": names,
        "ops": [rows[name].op for name in names],
        "macs": [rows[name].macs for name in names],
        "images": list(images),
        "heads": [[names.index(n), list(o)] for n, o in heads(run.graph).items() if n in rows],
        "targets": [_target(run, target, names, many) for target in run.targets],
        "graph": _graph(run.graph, {name: i for i, name in enumerate(names)}),
    }


def _target(run: SavedRun, target: SavedTarget, names: list[str], many: bool) -> dict[str, Any]:
    only = target.name if many else ""
    shares = noise_shares(target.rows)
    by_name = {
        row.layer: layer_json(target, row, shares.get(row.layer), only) for row in target.rows
    }
    rating = rating_of(target.facts)
    search = search_json(target, names)
    return ({} if search is None else {"search": search}) | {
        "name": target.name,
        "level": rating.level,
        "label": rating.label,
        "words": rating.words,
        "facts": _plain(target.facts),
        "actions": [
            {
                "kind": a.kind,
                "title": a.title,
                "layers": list(a.layers),
                "share": number(a.share, 3),
                "evidence": a.evidence,
                "remedy": a.remedy,
                "recipe": a.recipe,
            }
            for a in actions(target, only=only)
        ],
        "rows": [by_name.get(name) for name in names],
    }


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a target's facts that the page prints."""
    keys = ("layers", "simulated", "integer", "parity", "check", "files", "observers_db")
    return {key: facts[key] for key in keys if facts.get(key) is not None}


def _graph(graph: Graph, index: Mapping[str, int]) -> dict[str, Any]:
    """Return nodes `[name, op, x, rank, position in names or -1]` and edges between them."""
    all_layers = graph.layers
    nodes: list[list[Any]] = [[str(v.name), "input"] for v in graph.inputs]
    maker = {id(v): i for i, v in enumerate(graph.inputs)}
    edges: list[tuple[int, int]] = []
    for layer in all_layers:
        here = len(nodes)
        op = layer.op + (f" + {layer.activation.op_type}" if layer.activation is not None else "")
        nodes.append([layer.name, op])
        for value in _reads(layer):
            if id(value) in maker:
                edges.append((maker[id(value)], here))
        for node in (layer.node, layer.activation):
            maker.update({id(v): here for v in (node.outputs if node is not None else ())})
    for value in graph.outputs:
        if id(value) in maker:
            edges.append((maker[id(value)], len(nodes)))
            nodes.append([str(value.name), "output"])
    drawn = lay_out(len(nodes), edges)
    return {
        "nodes": [
            [name, op, round(x, 2), rank, index.get(name, -1) if op not in ENDS else -1]
            for (name, op), x, rank in zip(nodes, drawn.x, drawn.rank, strict=True)
        ],
        "edges": [[a, b, [[round(x, 2), r] for x, r in way]] for a, b, way in drawn.edges],
    }


ENDS = ("input", "output")


def _reads(layer: Layer) -> list[ir.Value]:
    """Return the values that a layer reads, including those read in its subgraphs."""
    values = [v for v in layer.node.inputs if v is not None]
    for attribute in layer.node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            values += [
                v for n in attribute.as_graph().all_nodes() for v in n.inputs if v is not None
            ]
    return values


def json_for_html(value: object) -> str:
    r"""Return JSON that is safe inside a script element, whatever strings it contains.

    >>> json_for_html({"a": "</script>"})
    '{"a":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text

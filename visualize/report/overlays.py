"""Layer errors for two graph viewers, Model Explorer and Netron.

Model Explorer reads custom node data of a graph (google-ai-edge/model-explorer,
`node_data_builder.py`); its ONNX adapter uses the node's name as the id. Netron shows the
documentation and metadata of a node in its side panel.
"""

__all__ = ["model_explorer", "netron"]

import math
from typing import Any

import onnx_ir as ir

from quant.results.saved_run import SavedRun, SavedTarget
from quant.visualize.label import escaped

STEPS = (
    (10.0, "#7f0000"),
    (20.0, "#d7301f"),
    (30.0, "#fc8d59"),
    (40.0, "#fdbb84"),
    (50.0, "#fee8c8"),
)
"""Upper end in dB and colour; above the last one a node keeps its own colour."""
DARK = 20.0
"""Up to this SQNR in dB the text is white."""
LOSSLESS = 200.0
"""SQNR in dB for a lossless layer, because a node without a number would look unmeasured."""
METADATA = 10
"""The ONNX IR version that introduced metadata of nodes."""


def model_explorer(target: SavedTarget) -> dict[str, Any]:
    """Return node data for Model Explorer: each measured layer's isolated SQNR in dB."""
    isolated = {r.layer: r.isolated_sqnr_db for r in target.rows}
    results = {
        name: {"value": round(value, 2) if math.isfinite(value) else LOSSLESS}
        for name, value in isolated.items()
        if not math.isnan(value) and value > -math.inf
    }
    return {
        "results": results,
        "thresholds": [
            {"value": end, "bgColor": colour, "textColor": "white" if end <= DARK else "black"}
            for end, colour in STEPS
        ],
    }


def netron(run: SavedRun, target: SavedTarget) -> ir.Model:
    """Return the prepared graph with each layer's numbers in its metadata and documentation."""
    model = run.graph.clone()
    rows = {r.layer: r for r in target.rows}
    for node in model.graph:
        row = rows.get(str(node.name))
        if row is None:
            continue
        causes = target.causes.get(row.layer) or []
        metadata = {
            "quant.precision": row.precision,
            "quant.isolated_sqnr_db": f"{row.isolated_sqnr_db:.2f}",
            "quant.cumulative_sqnr_db": f"{row.cumulative_sqnr_db:.2f}",
            "quant.because": escaped(row.because),
        }
        if causes:
            metadata["quant.cause"] = escaped(causes[0].words)
        node.metadata_props.update(metadata)
        node.doc_string = "\n".join(f"{key[6:]}: {value}" for key, value in metadata.items())
    model.ir_version = max(model.ir_version, METADATA)
    return model

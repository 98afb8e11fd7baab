"""The likely causes of every layer's error, and each layer's share of the noise at the outputs.

Noise adds at the outputs, so a layer's share is `10**(-isolated / 10)` over the sum of all layers';
that holds as long as the noises are independent and small.
"""

__all__ = ["layer_causes", "noise_shares"]

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from quant.analysis.layer_error import LayerError
from quant.causes.cause import Cause

SENSITIVE = 0.1
"""Share of all noise from which one layer is worth keeping in float, whatever its cause."""


def noise_shares(rows: Sequence[LayerError]) -> dict[str, float]:
    """Return each measured layer's share of the noise at the outputs, 0 to 1."""
    isolated = {r.layer: r.isolated_sqnr_db for r in rows if not math.isnan(r.isolated_sqnr_db)}
    least = min(isolated.values(), default=0.0)
    if math.isinf(least):
        return dict.fromkeys(isolated, 1.0 / len(isolated) if least < 0 else 0.0)
    noise = {name: 10 ** ((least - value) / 10) for name, value in isolated.items()}
    total = sum(noise.values())
    return {name: value / total for name, value in noise.items()}


def layer_causes(
    rows: Sequence[LayerError], causes: Iterable[list[Cause]]
) -> Mapping[str, list[Cause]]:
    """Return the causes by layer, where a layer with much of all noise is "sensitive".

    Args:
        rows: The layer table.
        causes: What `find_causes` says of each row, in the same order.
    """
    shares = noise_shares(rows)
    return {
        row.layer: [_sensitive(c, row.layer, shares.get(row.layer, 0.0)) for c in of_layer]
        for row, of_layer in zip(rows, causes, strict=True)
    }


def _sensitive(cause: Cause, layer: str, share: float) -> Cause:
    """Give rounding noise without a remedy one where the layer makes much of all noise."""
    if cause.kind != "rounding" or cause.key or share < SENSITIVE:
        return cause
    evidence = (
        f"no defect of its own; its rounding noise is {100 * share:.0f} % of all at the outputs"
    )
    return replace(
        cause, kind="sensitive", evidence=evidence, key="precision", value="float", place=layer
    )

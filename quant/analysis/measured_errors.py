"""The errors of the layers of one target, as they were measured on the same samples."""

__all__ = ["MeasuredErrors"]

from collections.abc import Mapping
from dataclasses import dataclass, field

from quant.analysis.cumulative import LayerSums
from quant.analysis.isolated import IsolatedError
from quant.analysis.local import LocalError


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredErrors:
    """Three errors of each quantized layer, by node name; empty where no sample was measured.

    Attributes:
        isolated: At the network's outputs, with only this layer quantized.
        cumulative: At the layer's own output, with all layers quantized.
        local: At the layer's own output, with float inputs.
    """

    isolated: Mapping[str, IsolatedError] = field(default_factory=dict)
    cumulative: Mapping[str, LayerSums] = field(default_factory=dict)
    local: Mapping[str, LocalError] = field(default_factory=dict)

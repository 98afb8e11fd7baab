"""Evidence: all that was measured of one target, for limits to be held against."""

__all__ = ["Evidence"]

from collections.abc import Mapping
from dataclasses import dataclass, field

from quant.analysis.layer_error import LayerError
from quant.compare.sample_table import SampleTable
from quant.gate.paired_test import Paired


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of one quantized model.

    Attributes:
        target: Its target's name, or its own.
        place: The folder or file it comes from, for messages.
        table: Float's and its answers to each sample; None where nothing was measured.
        numbers: By measure, of the run as a whole; what is missing was not measured.
        layers: The layer table; empty where there is none.
        before: By metric, today's and the baseline's right answers counted in pairs; empty without
            a baseline whose samples are the same.
        losses: By layer, the baseline's isolated SQNR less today's, in dB.
        unfair: Why a comparison with the baseline says nothing; "" where it is fair.
    """

    target: str
    place: str
    table: SampleTable | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    layers: tuple[LayerError, ...] = ()
    before: Mapping[str, Paired] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)
    unfair: str = ""

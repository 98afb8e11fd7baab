"""Where samples come from, which of them calibrate, and the statistics of every activation."""

__all__ = [
    "SOURCES",
    "BadSample",
    "Batch",
    "Data",
    "InputSpec",
    "Labels",
    "batches",
    "open_data",
    "split",
]

from quant.calibration.profiling.batches import batches
from quant.calibration.selection.split import split
from quant.calibration.sources.data import SOURCES, BadSample, Data, InputSpec, Labels, open_data
from quant.compare.batch import Batch

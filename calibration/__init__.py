"""Where the data comes from, and the run that looks at every activation once."""

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

"""Post-training quantization of vision models: profile, choose, simulate, export, explain."""

from quant.common.version import VERSION as __version__

__all__ = ["__version__"]

"""Post-training quantization of vision models: profile, choose, simulate, export, explain."""

__version__ = "0.1.0"

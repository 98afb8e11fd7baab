"""The rules of `quant check` for Intel OpenVINO."""

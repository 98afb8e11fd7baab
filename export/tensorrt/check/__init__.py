"""The rules of `quant check` for NVIDIA TensorRT."""

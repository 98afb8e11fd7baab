"""The rules that say what NVIDIA TensorRT will not take."""

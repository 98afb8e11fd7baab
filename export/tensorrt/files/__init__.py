"""The files beside the graph for NVIDIA TensorRT."""

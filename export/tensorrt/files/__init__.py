"""The files that lie beside the graph for NVIDIA TensorRT."""

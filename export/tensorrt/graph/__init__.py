"""What is done to the graph for NVIDIA TensorRT."""

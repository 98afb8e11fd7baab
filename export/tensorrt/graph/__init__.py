"""The graph for NVIDIA TensorRT: types, layer precisions and names."""

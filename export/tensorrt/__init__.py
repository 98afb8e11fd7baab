"""NVIDIA TensorRT: its table, and the writer of its folder."""

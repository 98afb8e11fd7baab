"""NVIDIA TensorRT: its table, its writer, its files and its rules."""

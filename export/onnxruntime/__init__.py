"""ONNX Runtime: its table, and the writer of its folder."""

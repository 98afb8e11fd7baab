"""ONNX Runtime: its table and its writer."""

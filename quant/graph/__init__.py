"""The prepared graph: its layers, shapes, names and opset, and its session in ONNX Runtime."""

"""The prepared graph: its layers, shapes, names and opset, and the ONNX Runtime session that runs it."""

"""From an ONNX file or a torch module to a prepared graph, or to an error with the reason."""

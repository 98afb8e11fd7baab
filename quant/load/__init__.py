"""From an ONNX file or a torch module to a prepared graph, or to a sentence that says why not."""

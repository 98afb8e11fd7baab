"""Number formats: grids of numbers in numpy, and the ONNX nodes that round the same way."""

"""From a plan to an ONNX graph that computes the target's numbers in ONNX Runtime."""

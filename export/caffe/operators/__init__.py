"""Conversion of ONNX operators to Caffe layers, one family per file."""
